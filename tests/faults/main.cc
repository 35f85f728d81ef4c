// main.cc - every fault in turn: the k-th call of each kind with each of its answers, once, and from there on for good.
//
//   fault_sweep [--seed N] [--only KIND:K:ANSWER:once|always] [--all]
//
// Each runs the scenario in a process of its own; a process that has not ended after kSecondsMax seconds is a failure.
// Clean runs count the calls first. Without --all (or AIOX_FAULTS_ALL=1) as many faults as fit the time, in the seed's
// order. AIOX_FAULTS_LEAVE=1: a process that hangs is left for the debugger.
#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "faults.h"
#include "scenario.h"

using namespace faults;

namespace {

constexpr int kSecondsMax = 40;  // of which a busy disk may take some
constexpr int64_t kBudgetMs = 45'000;
constexpr unsigned kAtOnce = 2;
constexpr int kCleanRuns = 3;

uint64_t g_seed;
Place g_place;

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

std::string name_of(const Fault& fault) {
  if (fault.kind < 0) return "no fault";
  return std::string(kKinds[fault.kind].name) + ":" + std::to_string(fault.at) + ":" + answer_name(fault.answer) +
         (fault.is_lasting ? ":always" : ":once");
}

// A loop device of the test's own, as long as the descriptor is open. -1: none to be had.
int attach_block_device(std::string* path) {
  std::string backing = g_place.directory + "/faults-device." + std::to_string(getpid());
  int file = open(backing.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  int loop = -1;
  if (file >= 0 && control >= 0 && ftruncate(file, kAtOnce * kDeviceBytes) == 0) {
    for (int tries = 0; tries < 20 && loop < 0; tries++) {
      int number = ioctl(control, LOOP_CTL_GET_FREE);
      if (number < 0) break;
      *path = "/dev/loop" + std::to_string(number);
      loop = open(path->c_str(), O_RDWR | O_CLOEXEC);
      if (loop < 0) break;
      loop_config config{};
      config.fd = static_cast<unsigned>(file);
      config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
      if (ioctl(loop, LOOP_CONFIGURE, &config) == 0) break;
      const bool is_taken = errno == EBUSY;
      close(loop);
      loop = -1;
      if (!is_taken) break;
    }
  }
  if (file >= 0) unlink(backing.c_str());
  if (file >= 0) close(file);
  if (control >= 0) close(control);
  if (loop < 0) path->clear();
  return loop;
}

struct Run {
  Fault fault;
  pid_t child = 0;
  int64_t begin_ms = 0;
  Report* report = nullptr;
};

void start(Run* run, unsigned slot) {
  memset(static_cast<void*>(run->report), 0, sizeof *run->report);
  run->begin_ms = now_ms();
  fflush(stdout);
  run->child = fork();
  if (run->child != 0) return;
  Place place = g_place;
  place.device_offset = slot * kDeviceBytes;
  run_scenario(place, run->fault, g_seed, run->report);
}

std::string first_line_of(const std::string& path) {
  char text[200] = {};
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "?";
  ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  return std::string(text, count > 0 ? strcspn(text, "\n") : 0);
}

// What each thread of a process that hangs is about.
void print_threads(pid_t process) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  DIR* directory = opendir(tasks.c_str());
  if (directory == nullptr) return;
  while (dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    const std::string task = tasks + "/" + entry->d_name;
    printf("  thread %s %s: in %s, call %s\n", entry->d_name, first_line_of(task + "/comm").c_str(),
           first_line_of(task + "/wchan").c_str(), first_line_of(task + "/syscall").c_str());
  }
  closedir(directory);
}

// True: it has ended, and *is_good says how.
bool is_over(Run* run, bool* is_good) {
  int status;
  if (waitpid(run->child, &status, WNOHANG) == run->child) {
    *is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!*is_good) {
      printf("FAILED %s (seed %llu, %u calls failed): %s %d\n", name_of(run->fault).c_str(),
             static_cast<unsigned long long>(g_seed), run->report->hits.load(),
             WIFEXITED(status) ? "exit" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    return true;
  }
  if (now_ms() - run->begin_ms < kSecondsMax * 1000) return false;
  printf("HANGS %s (seed %llu, %u calls failed), stage %d\n", name_of(run->fault).c_str(),
         static_cast<unsigned long long>(g_seed), run->report->hits.load(), run->report->stage.load());
  print_threads(run->child);
  if (getenv("AIOX_FAULTS_LEAVE") != nullptr) {
    printf("process %d is left for the debugger\n", run->child);
    exit(1);
  }
  kill(run->child, SIGKILL);
  waitpid(run->child, &status, 0);
  *is_good = false;
  return true;
}

bool run_alone(Run* run) {
  bool is_good = false;
  start(run, 0);
  while (!is_over(run, &is_good)) usleep(500);
  run->child = 0;
  return is_good;
}

bool parse(const std::string& text, Fault* fault) {
  for (int kind = 0; kind < kKindCount; kind++) {
    for (int mode = 0; mode < 2; mode++) {
      for (int answer : mode == 0 ? kKinds[kind].once : kKinds[kind].always) {
        if (answer == 0) continue;
        std::string begin = std::string(kKinds[kind].name) + ":";
        std::string end = std::string(":") + answer_name(answer) + (mode == 0 ? ":once" : ":always");
        if (text.rfind(begin, 0) != 0 || text.size() < begin.size() + end.size()) continue;
        if (text.compare(text.size() - end.size(), end.size(), end) != 0) continue;
        *fault = {kind, static_cast<uint32_t>(atoi(text.c_str() + begin.size())), answer, mode == 1};
        return true;
      }
    }
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  bool is_all = getenv("AIOX_FAULTS_ALL") != nullptr;
  std::string only;
  g_seed = std::random_device{}();
  for (int i = 1; i < argc; i++) {
    std::string word = argv[i];
    if (word == "--all") {
      is_all = true;
    } else if (word == "--seed" && i + 1 < argc) {
      g_seed = strtoull(argv[++i], nullptr, 0);
    } else if (word == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else {
      fprintf(stderr, "usage: %s [--seed N] [--only KIND:K:ANSWER:once|always] [--all]\n", argv[0]);
      return 2;
    }
  }
  printf("seed %llu\n", static_cast<unsigned long long>(g_seed));
  const char* directory = getenv("AIOX_TEST_SCRATCH");
  g_place.directory = directory != nullptr ? directory : ".";
  const int device = attach_block_device(&g_place.block_device);
  printf("block device: %s\n", device >= 0 ? g_place.block_device.c_str() : "none");

  void* shared = mmap(nullptr, sizeof(Report) * kAtOnce, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Run runs[kAtOnce];
  for (unsigned i = 0; i < kAtOnce; i++) runs[i].report = new (static_cast<Report*>(shared) + i) Report();

  if (!only.empty()) {
    if (!parse(only, &runs[0].fault)) {
      fprintf(stderr, "no such fault: %s\n", only.c_str());
      return 2;
    }
    bool is_good = run_alone(&runs[0]);
    printf("%s: %u calls failed, %s\n", name_of(runs[0].fault).c_str(), runs[0].report->hits.load(),
           is_good ? "good" : "bad");
    return is_good ? 0 : 1;
  }

  uint32_t counts[64] = {};
  for (int i = 0; i < kCleanRuns; i++) {
    runs[0].fault = Fault();
    int64_t begin_ms = now_ms();
    if (!run_alone(&runs[0])) return 1;
    const Report& report = *runs[0].report;
    for (int kind = 0; kind < kKindCount; kind++) counts[kind] = std::max(counts[kind], report.counts[kind].load());
    printf("clean run: %lld ms; by lane: inline %llu, direct %llu, io_uring %llu, threads %llu\n",
           static_cast<long long>(now_ms() - begin_ms), static_cast<unsigned long long>(report.lanes[0].load()),
           static_cast<unsigned long long>(report.lanes[1].load()),
           static_cast<unsigned long long>(report.lanes[2].load()),
           static_cast<unsigned long long>(report.lanes[3].load()));
    for (int lane = 0; lane < 4; lane++) {
      if (report.lanes[lane].load() != 0 || (lane == 2 && getenv("AIOX_BACKEND") != nullptr)) continue;
      printf("SKIP: a lane cannot be used here\n");
      return 77;
    }
  }

  std::vector<Fault> faults;
  for (int kind = 0; kind < kKindCount; kind++) {
    printf("%s: %u calls\n", kKinds[kind].name, counts[kind]);
    for (uint32_t at = 1; at <= counts[kind]; at++) {
      for (int answer : kKinds[kind].once) {
        if (answer != 0) faults.push_back({kind, at, answer, false});
      }
      for (int answer : kKinds[kind].always) {
        if (answer != 0) faults.push_back({kind, at, answer, true});
      }
    }
  }
  // In an order that has every kind early on: what is left out for want of time is spread over all of them.
  std::mt19937_64 random(g_seed);
  std::shuffle(faults.begin(), faults.end(), random);
  const int64_t begin_ms = now_ms();
  size_t next = 0, ended = 0, missed = 0, failures = 0;
  for (;;) {
    bool is_any = false;
    for (unsigned slot = 0; slot < kAtOnce; slot++) {
      Run& run = runs[slot];
      if (run.child > 0) {
        bool is_good = false;
        is_any = true;
        if (!is_over(&run, &is_good)) continue;
        run.child = 0;
        ended++;
        if (!is_good) failures++;
        if (run.report->hits.load() == 0) missed++;
      }
      if (next < faults.size() && (is_all || now_ms() - begin_ms < kBudgetMs)) {
        run.fault = faults[next++];
        start(&run, slot);
        is_any = true;
      }
    }
    if (!is_any) break;
    usleep(500);
  }
  printf("%zu of %zu faults in %lld ms: %zu failed the property, %zu were not reached\n", ended, faults.size(),
         static_cast<long long>(now_ms() - begin_ms), failures, missed);
  return failures == 0 ? 0 : 1;
}
