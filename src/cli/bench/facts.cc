#include "cli/bench/facts.h"

#include <gnu/libc-version.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "aiox/aiox.h"
#include "cli/text/units.h"

extern char** environ;

namespace aiox::cli::bench {
namespace {

std::string processor_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, 10, "model name") == 0) return line.substr(line.find(':') + 2);
  }
  return {};
}

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string device_text(unsigned major_number, unsigned minor_number) {
  const std::string sys = fmt::format("/sys/dev/block/{}:{}", major_number, minor_number);
  std::string text = first_line(sys + "/device/model");
  if (text.empty()) text = "block device";
  const std::string rotates = first_line(sys + "/queue/rotational");
  return rotates == "1" ? text + ", rotating" : text;
}

// What is set for aiox in the environment is in force for its engines.
std::string settings() {
  std::string text;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string setting = *entry;
    if (setting.compare(0, 5, "AIOX_") == 0) text += (text.empty() ? "" : " ") + setting;
  }
  return text;
}

}  // namespace

Facts machine_facts() {
  utsname kernel{};
  ::uname(&kernel);
  const long processors = ::sysconf(_SC_NPROCESSORS_ONLN);
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  Facts facts = {{"kernel", fmt::format("{} {} {}", kernel.sysname, kernel.release, kernel.machine)},
                 {"processors", std::to_string(processors)},
                 {"memory", bytes_text(memory)},
                 {"glibc", ::gnu_get_libc_version()},
                 {"aiox", ::aiox_version()}};
  if (const std::string model = processor_model(); !model.empty()) facts[1].second += " (" + model + ")";
  double loads[1] = {0};
  if (::getloadavg(loads, 1) == 1) facts.emplace_back("load before", fmt::format("{:.2f}", loads[0]));
  if (const std::string set = settings(); !set.empty()) facts.emplace_back("environment", set);
  return facts;
}

// /proc/self/mountinfo: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue".
std::string place_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return {};
  if (S_ISBLK(status.st_mode)) return device_text(major(status.st_rdev), minor(status.st_rdev));
  const std::string wanted = fmt::format("{}:{}", major(status.st_dev), minor(status.st_dev));
  std::ifstream in("/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string word;
    std::string device;
    words >> word >> word >> device;
    if (device != wanted) continue;
    while (words >> word && word != "-") {}
    std::string type;
    std::string source;
    words >> type >> source;
    return source.compare(0, 1, "/") == 0 ? fmt::format("{} ({})", type, source) : type;
  }
  return {};
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &parts);
  return text;
}

}  // namespace aiox::cli::bench
