// control_group.cc - see control_group.h.
#include "control_group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "guest.h"

namespace guest {

namespace {

bool has_word(const std::string& text, const std::string& word, char separator) {
  std::istringstream words(text);
  for (std::string one; std::getline(words, one, separator);)
    if (one == word) return true;
  return false;
}

bool write_file(const std::string& path, const char* value) {
  int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool is_done = ::write(fd, value, strlen(value)) == ssize_t(strlen(value));
  close(fd);
  return is_done;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Where the controller's hierarchy is mounted; "" if it is not.
std::string find_hierarchy(const std::string& controller, bool* is_unified) {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device, directory, type, options;
    fields >> device >> directory >> type >> options;
    *is_unified = type == "cgroup2";
    if (*is_unified) {
      std::string controllers = read_file(directory + "/cgroup.controllers");
      while (!controllers.empty() && controllers.back() == '\n') controllers.pop_back();
      if (has_word(controllers, controller, ' ')) return directory;
    } else if (type == "cgroup" && has_word(options, controller == "io" ? "blkio" : controller, ',')) {
      return directory;
    }
  }
  return "";
}

}  // namespace

ControlGroup::ControlGroup(const char* controller) {
  if (getuid() != 0) skip("needs root, to make a control group");
  std::string top = find_hierarchy(controller, &is_unified_);
  if (top.empty()) skip("the controller is not available here");
  // Below the root, where a group may have members and children: only leaves may have members otherwise.
  if (is_unified_ && !write_file(top + "/cgroup.subtree_control", ("+" + std::string(controller)).c_str()))
    skip("the controller cannot be enabled here");
  path_ = top + "/aiox-test-" + std::to_string(getpid());
  if (mkdir(path_.c_str(), 0755) != 0) skip("a control group cannot be made here");
}

ControlGroup::~ControlGroup() {
  // The last member may be on its way out still.
  for (int i = 0; rmdir(path_.c_str()) != 0 && errno == EBUSY && i < 2000; ++i) sleep_ms(1);
}

void ControlGroup::take_in_this_process() { CHECK(set("cgroup.procs", std::to_string(getpid()).c_str())); }

bool ControlGroup::set(const char* file, const char* value) { return write_file(path_ + "/" + file, value); }

std::string ControlGroup::get(const char* file) const { return read_file(path_ + "/" + file); }

}  // namespace guest
