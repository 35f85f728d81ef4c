// identity.cc - who the process is: users and groups changed after asynchronous I/O has begun, and programs that change
// their user on the way in. Needs root, and is skipped without.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "native.h"

using namespace guest;

namespace {

constexpr uid_t kUser = 65531;
constexpr gid_t kGroup = 65532;

void need_root() {
  if (getuid() != 0) skip("needs root, to become somebody else");
}

// The lines "Uid:", "Gid:" and "Groups:" of each thread of this process.
std::vector<std::string> identities_of_threads() {
  std::vector<std::string> identities;
  DIR* directory = opendir("/proc/self/task");
  CHECK(directory != nullptr);
  while (dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream status(std::string("/proc/self/task/") + entry->d_name + "/status");
    std::string identity, name;
    for (std::string line; std::getline(status, line);)
      if (line.compare(0, 5, "Name:") == 0) name = line.substr(6);
      else if (line.compare(0, 4, "Uid:") == 0 || line.compare(0, 4, "Gid:") == 0 || line.compare(0, 7, "Groups:") == 0)
        identity += line + "; ";
    // A thread of the kernel's own for a ring carries out each request as who submitted it, whatever it is itself.
    if (name.compare(0, 8, "iou-wrk-") == 0) continue;
    if (!identity.empty()) identities.push_back(identity + name);  // else it has just ended
  }
  closedir(directory);
  return identities;
}

// glibc leaves out a thread that is about to end: one that has another identity must be gone soon.
void expect_one_identity(const char* expected) {
  std::string other;
  for (unsigned tries = 0; tries < 500; ++tries) {
    other.clear();
    for (const std::string& identity : identities_of_threads())
      if (identity.find(expected) == std::string::npos) other = identity;
    if (other.empty()) return;
    sleep_ms(10);
  }
  FAIL("a thread is and stays \"%s\", not %s", other.c_str(), expected);
}

int copy_of(const char* from, const std::string& to, mode_t mode) {
  std::ifstream in(from, std::ios::binary);
  std::ofstream out(to, std::ios::binary | std::ios::trunc);
  out << in.rdbuf();
  out.close();
  if (!in || !out) return -1;
  // The owner first: chown takes the bit away.
  if (chown(to.c_str(), 0, 0) != 0 || chmod(to.c_str(), mode) != 0) return -1;
  return open(to.c_str(), O_PATH | O_CLOEXEC);
}

// What the program says on stdout and stderr, run by a user without rights.
std::string run_as_nobody(int program, const std::vector<std::string>& variables) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t child = fork_child([&] {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    std::vector<char*> environment;
    for (const std::string& variable : variables) environment.push_back(const_cast<char*>(variable.c_str()));
    environment.push_back(nullptr);
    char name[] = "secure_program";
    char* arguments[] = {name, nullptr};
    CHECK(setgroups(0, nullptr) == 0 && setgid(kGroup) == 0 && setuid(kUser) == 0);
    // By descriptor: the directories above need not let that user in.
    fexecve(program, arguments, environment.data());
    dprintf(1, "fexecve: %s\n", strerror(errno));
    _exit(3);
  });
  close(ends[1]);
  std::string text;
  char buffer[512];
  ssize_t got;
  while ((got = read(ends[0], buffer, sizeof buffer)) > 0) text.append(buffer, size_t(got));
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  if (status != 0) FAIL("status %x: %s", unsigned(status), text.c_str());
  return text;
}

}  // namespace

// glibc's setuid signals every thread of the process and waits until each has changed: a thread that kept that signal
// out, or one that it does not know, would make it hang or leave one thread behind.
GUEST_PROPERTY(setuid_reaches_every_thread_and_requests_go_on) {
  need_root();
  Load prepared(1, 0);  // makes the file that the loads share
  for (unsigned round = 0; round < trials(16); ++round) {
    expect_clean_exit(fork_child([&] {
      Load load(32, 4);
      load.submit();
      if (round % 4 == 1) sleep_ms(2);
      if (round % 4 == 2) load.finish();
      const gid_t groups[] = {kGroup, kGroup + 1};
      CHECK(setgroups(2, groups) == 0);
      CHECK(setgid(kGroup) == 0);
      if (round % 4 != 2) CHECK(load.is_anything_in_flight());
      CHECK(setuid(kUser) == 0);
      expect_one_identity("Uid:\t65531\t65531\t65531\t65531; Gid:\t65532\t65532\t65532\t65532; Groups:\t65532 65533");
      if (round % 4 != 2) load.finish();
      // Threads that come now are the new user's too.
      load.submit();
      expect_one_identity("Uid:\t65531\t65531\t65531\t65531;");
      load.finish();
      CHECK(setuid(0) == -1);
    }));
  }
}

GUEST_PROPERTY(setuid_returns_while_other_threads_submit_and_wait) {
  need_root();
  expect_clean_exit(fork_child([] {
    use_aio_a_little();
    std::atomic<bool> is_over{false};
    std::vector<std::unique_ptr<Load>> loads;
    for (int i = 0; i < 3; ++i) loads.push_back(std::make_unique<Load>(16, 1));
    std::vector<std::thread> threads;
    for (auto& load : loads)
      threads.emplace_back([&] {
        while (!is_over) {
          load->submit();
          load->finish();
        }
      });
    // There and back, as a file server does for each of its clients.
    for (unsigned i = 0; i < trials(300); ++i) {
      CHECK(setresgid(gid_t(-1), kGroup, gid_t(-1)) == 0 && setresuid(uid_t(-1), kUser, uid_t(-1)) == 0);
      if (i % 50 == 0) expect_one_identity("Uid:\t0\t65531\t0\t65531;");
      CHECK(setresuid(uid_t(-1), 0, uid_t(-1)) == 0 && setresgid(gid_t(-1), 0, gid_t(-1)) == 0);
    }
    is_over = true;
    for (auto& thread : threads) thread.join();
    expect_one_identity("Uid:\t0\t0\t0\t0;");
  }));
}

GUEST_PROPERTY(native_setuid_reaches_every_thread_and_requests_go_on) {
  need_root();
  load_file(false);
  for (Reap way : kEveryWay)
    expect_clean_exit(fork_child([&] {
      NativeLoad load(32, 4, way);
      load.submit();
      CHECK(setgroups(0, nullptr) == 0 && setgid(kGroup) == 0 && setuid(kUser) == 0);
      expect_one_identity("Uid:\t65531\t65531\t65531\t65531; Gid:\t65532\t65532\t65532\t65532;");
      load.finish();
      load.submit();
      expect_one_identity("Uid:\t65531\t65531\t65531\t65531;");
      load.finish();
    }));
}

// setfsuid concerns the calling thread only. What was open stays usable.
GUEST_PROPERTY(setfsuid_leaves_requests_on_open_descriptors_alone) {
  need_root();
  expect_clean_exit(fork_child([] {
    Load load(16, 2);
    load.submit();
    setfsgid(kGroup);
    setfsuid(kUser);
    CHECK(setfsuid(kUser) == int(kUser));
    load.finish();
    load.submit();
    load.finish();
    setfsuid(0);
    setfsgid(0);
    use_aio_a_little();
  }));
}

GUEST_PROPERTY(a_program_that_changes_its_user_ignores_the_environment) {
  need_root();
  if (!is_answered_by_aiox()) skip("only aiox has variables");
  const char* binaries = getenv("AIOX_TEST_SECURE_PROGRAM");
  if (binaries == nullptr) skip("the program to copy is not built");
  std::string path = scratch_path("secure");
  struct statvfs file_system {};
  CHECK(statvfs(path.substr(0, path.rfind('/')).c_str(), &file_system) == 0);
  if (file_system.f_flag & ST_NOSUID) skip("the file system of the build is mounted nosuid");
  const std::vector<std::string> variables = {"AIOX_VERBOSE=1", "AIOX_QUEUE_MAX=1", "AIOX_EVENTS_MAX=64"};
  int program = copy_of(binaries, path, 0755);
  CHECK(program >= 0);
  std::string plain = run_as_nobody(program, variables);
  close(program);
  program = copy_of(binaries, path, 04755);
  CHECK(program >= 0);
  std::string secure = run_as_nobody(program, variables);
  close(program);
  unlink(path.c_str());
  printf("as it is: %ssetuid root: %s", plain.c_str(), secure.c_str());
  if (plain.find("aiox: ") == std::string::npos) FAIL("not even heeded without AT_SECURE: %s", plain.c_str());
  if (plain.find("secure 0 user 65531 accepted 1 contexts 1\n") == std::string::npos) FAIL("%s", plain.c_str());
  if (secure.find("secure 1 user 0 ") == std::string::npos) skip("a setuid program does not change its user here");
  if (secure != "secure 1 user 0 accepted 2 contexts 2\n") FAIL("the environment was heeded: %s", secure.c_str());
}
