// case_runner.cc - the registry, the children and the command line of case_runner.h.
//
// One child per case, each the leader of its own process group (so that what it leaves behind can be killed), its
// stdout and stderr caught in a pipe and printed with the result. What the child is doing sits in a shared page.
#include "case_runner.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "oracle_rows.h"

namespace aiox_test {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitSkipped = 77;
constexpr int kOracleTimeoutSeconds = 3;  // of the cases in which glibc is known to hang

// What a child shares with the runner.
struct Shared {
  std::atomic<const char*> note;  // static text: the address is the same in runner and child
};

std::vector<Case>& registry() {
  static std::vector<Case> cases;
  return cases;
}

Shared* shared = nullptr;  // of this child
std::uint64_t seed_of_case = 0;

enum class Outcome { kPass, kFail, kSkip };

struct Settings {
  std::string name, kind, method, provider, oracle_doc;
  std::uint64_t seed = 0;
  int jobs = 4;
  int repeat = 1;
  bool list = false;
  bool quiet = false;
};

struct Child {
  const Case* test = nullptr;
  pid_t pid = -1;
  int output_fd = -1;
  long long started_ms = 0;
  long long deadline_ms = 0;
  bool hung = false;
  std::string output;
  Shared* page = nullptr;
};

struct Tally {
  int passed = 0, failed = 0, skipped = 0;
  std::set<std::string> failed_names;
  std::set<std::string> skipped_names;
};

long long now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

std::uint64_t mix(std::uint64_t value) {  // splitmix64
  value += 0x9e3779b97f4a7c15ull;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
  return value ^ (value >> 31);
}

[[noreturn]] void run_in_child(const Case& test, Shared* page, std::uint64_t seed, int output_fd) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(output_fd, STDOUT_FILENO);
  dup2(output_fd, STDERR_FILENO);
  if (output_fd > STDERR_FILENO) close(output_fd);
  shared = page;
  seed_of_case = mix(seed ^ std::hash<std::string>{}(test.name));
  test.body();
  _exit(0);
}

Child start(const Case& test, const Settings& settings, int timeout_s) {
  Child child;
  child.test = &test;
  child.page = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  int ends[2];
  if (child.page == MAP_FAILED || pipe2(ends, O_CLOEXEC) != 0) {
    std::perror("cannot start a case");
    std::exit(kExitFailed);
  }
  std::fflush(stdout);
  child.pid = fork();
  if (child.pid == 0) {
    close(ends[0]);
    run_in_child(test, child.page, settings.seed, ends[1]);
  }
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  child.output_fd = ends[0];
  child.started_ms = now_ms();
  child.deadline_ms = child.started_ms + 1000LL * timeout_s * (kSanitized ? 4 : 1);
  return child;
}

void drain(Child& child) {
  char buffer[4096];
  ssize_t count;
  while ((count = read(child.output_fd, buffer, sizeof buffer)) > 0) {
    if (child.output.size() < 65536) child.output.append(buffer, static_cast<size_t>(count));
  }
}

std::string describe_death(const Child& child, int status) {
  std::string text;
  if (child.hung) {
    text = "hangs";
  } else if (WIFSIGNALED(status)) {
    text = std::string("killed by signal ") + strsignal(WTERMSIG(status));
  } else if (WEXITSTATUS(status) != kExitFailed) {
    text = "exit status " + std::to_string(WEXITSTATUS(status));
  }
  const char* doing = child.page->note.load();
  if (!text.empty() && doing != nullptr) text += std::string(" while: ") + doing;
  return text;
}

void report(Child& child, int status, const Settings& settings, Tally& tally) {
  drain(child);
  close(child.output_fd);
  const long long took_ms = now_ms() - child.started_ms;
  Outcome outcome = Outcome::kFail;
  if (!child.hung && WIFEXITED(status) && WEXITSTATUS(status) == 0) outcome = Outcome::kPass;
  if (!child.hung && WIFEXITED(status) && WEXITSTATUS(status) == kExitSkipped) outcome = Outcome::kSkip;
  std::string text = child.output;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const std::string& name = child.test->name;
  switch (outcome) {
    case Outcome::kPass:
      ++tally.passed;
      if (!settings.quiet) std::printf("PASS  %s (%lld ms)\n", name.c_str(), took_ms);
      break;
    case Outcome::kSkip:
      ++tally.skipped;
      tally.skipped_names.insert(name);
      std::printf("SKIP  %s: %s\n", name.c_str(), text.c_str());
      break;
    case Outcome::kFail: {
      ++tally.failed;
      tally.failed_names.insert(name);
      const std::string death = describe_death(child, status);
      std::printf("FAIL  %s (%lld ms): %s%s%s\n", name.c_str(), took_ms, death.c_str(),
                  death.empty() || text.empty() ? "" : ": ", text.c_str());
      break;
    }
  }
  std::fflush(stdout);
  munmap(child.page, sizeof(Shared));
}

// Kills what ran out of time, reports what has ended. True when a place became free.
bool collect(std::vector<Child>& running, const Settings& settings, Tally& tally) {
  bool any = false;
  for (size_t i = 0; i < running.size();) {
    Child& child = running[i];
    drain(child);
    int status = 0;
    pid_t ended = waitpid(child.pid, &status, WNOHANG);
    if (ended == 0 && now_ms() > child.deadline_ms) {
      child.hung = true;
      kill(-child.pid, SIGKILL);
      kill(child.pid, SIGKILL);
      ended = waitpid(child.pid, &status, 0);
    }
    if (ended == 0) {
      ++i;
      continue;
    }
    kill(-child.pid, SIGKILL);  // processes the case left behind
    report(child, status, settings, tally);
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    any = true;
  }
  return any;
}

std::vector<Child> running_children;  // reached by the SIGINT handler only through kill_children

void kill_children(int) {
  for (const Child& child : running_children) kill(-child.pid, SIGKILL);
  _exit(kExitFailed);
}

void run_all(const std::vector<const Case*>& cases, const Settings& settings, const OracleRows& rows, int jobs,
             Tally& tally) {
  for (const Case* test : cases) {
    const bool known_to_differ = rows.id_of_differing(test->name) != nullptr;
    while (static_cast<int>(running_children.size()) >= jobs) {
      if (!collect(running_children, settings, tally)) usleep(1000);
    }
    const int timeout_s = known_to_differ ? kOracleTimeoutSeconds : test->options.timeout_s;
    running_children.push_back(start(*test, settings, timeout_s));
  }
  while (!running_children.empty()) {
    if (!collect(running_children, settings, tally)) usleep(1000);
  }
}

void print_help(const char* program) {
  std::printf(
      "%s [options]: runs test cases, each in a process of its own\n"
      "  --list               print the cases and end\n"
      "  --name TEXT          only cases whose name contains TEXT\n"
      "  --kind NAME          only the matrix cases of this kind of file; \"none\": only those outside the matrix\n"
      "  --method NAME        only the matrix cases of this completion method\n"
      "  --jobs N             so many cases at a time (4)\n"
      "  --repeat N           run the chosen cases N times\n"
      "  --seed N             the seed to replay (default: taken from the clock, and printed)\n"
      "  --provider TEXT      fail unless the file that answers the calls has TEXT in its path\n"
      "  --oracle FILE        the calls are answered by glibc: the failures must be exactly the rows of FILE\n"
      "  --quiet              print only what did not pass\n",
      program);
}

bool parse(int argc, char** argv, Settings& settings) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string { return i + 1 < argc ? argv[++i] : ""; };
    if (word == "--list") settings.list = true;
    else if (word == "--quiet") settings.quiet = true;
    else if (word == "--name") settings.name = value();
    else if (word == "--kind") settings.kind = value();
    else if (word == "--method") settings.method = value();
    else if (word == "--jobs") settings.jobs = std::max(1, std::atoi(value().c_str()));
    else if (word == "--repeat") settings.repeat = std::max(1, std::atoi(value().c_str()));
    else if (word == "--seed") settings.seed = std::strtoull(value().c_str(), nullptr, 0);
    else if (word == "--provider") settings.provider = value();
    else if (word == "--oracle") settings.oracle_doc = value();
    else return false;
  }
  return true;
}

bool is_chosen(const Case& test, const Settings& settings) {
  if (!settings.name.empty() && test.name.find(settings.name) == std::string::npos) return false;
  if (settings.kind == "none" ? !test.kind.empty() : !settings.kind.empty() && test.kind != settings.kind) return false;
  return settings.method.empty() || test.method == settings.method;
}

// The failures on glibc against the rows of the document. Prints what does not agree; 0 or kExitFailed.
int compare_with_rows(const std::vector<const Case*>& chosen, const Tally& tally, const OracleRows& rows,
                      bool whole_suite) {
  int wrong = 0;
  for (const Case* test : chosen) {
    if (tally.skipped_names.count(test->name) != 0) continue;
    const std::string* id = rows.id_of_differing(test->name);
    const bool failed = tally.failed_names.count(test->name) != 0;
    if (failed && id == nullptr) {
      std::printf("UNLISTED  glibc fails a case that no row explains: %s\n", test->name.c_str());
      ++wrong;
    } else if (!failed && id != nullptr) {
      std::printf("STALE  row %s says that glibc differs, but it passes: %s\n", id->c_str(), test->name.c_str());
      ++wrong;
    }
  }
  if (whole_suite) wrong += rows.report_unknown_names(registry());
  std::printf("oracle: %zu cases differ on glibc, %d disagreements with the document\n", tally.failed_names.size(),
              wrong);
  return wrong == 0 ? 0 : kExitFailed;
}

}  // namespace

bool add_case(Case c) {
  registry().push_back(std::move(c));
  return true;
}

void fail_case(const char* file, int line, const std::string& message) {
  const char* base = std::strrchr(file, '/');
  dprintf(STDERR_FILENO, "%s:%d: %s\n", base != nullptr ? base + 1 : file, line, message.c_str());
  _exit(kExitFailed);
}

void skip_case(const std::string& reason) {
  dprintf(STDERR_FILENO, "%s\n", reason.c_str());
  _exit(kExitSkipped);
}

void note(const char* text) {
  if (shared != nullptr) shared->note.store(text);
}

std::uint64_t case_seed() { return seed_of_case; }

int run_cases_main(int argc, char** argv, const char* provider_symbol) {
  Settings settings;
  settings.seed = mix(static_cast<std::uint64_t>(now_ms()) ^ static_cast<std::uint64_t>(getpid()));
  if (!parse(argc, argv, settings)) {
    print_help(argv[0]);
    return argc > 1 && std::strcmp(argv[1], "--help") == 0 ? 0 : kExitFailed;
  }
  OracleRows rows;
  if (!settings.oracle_doc.empty() && !rows.load(settings.oracle_doc)) {
    std::printf("no rows in %s\n", settings.oracle_doc.c_str());
    return kExitFailed;
  }
  std::vector<const Case*> chosen, together, alone;
  for (const Case& test : registry()) {
    if (!is_chosen(test, settings)) continue;
    if (settings.list) std::printf("%s\n", test.name.c_str());
    chosen.push_back(&test);
  }
  if (settings.list) return 0;

  Dl_info info{};
  void* const provider = dlsym(RTLD_DEFAULT, provider_symbol);
  const char* const path = provider != nullptr && dladdr(provider, &info) != 0 ? info.dli_fname : "(unknown)";
  std::printf("%s is answered by %s; seed %llu\n", provider_symbol, path,
              static_cast<unsigned long long>(settings.seed));
  if (!settings.provider.empty() && std::strstr(path, settings.provider.c_str()) == nullptr) {
    std::printf("FAIL  expected it to be answered by %s\n", settings.provider.c_str());
    return kExitFailed;
  }

  signal(SIGINT, kill_children);
  signal(SIGTERM, kill_children);
  Tally tally;
  for (const Case* test : chosen) {
    if (!settings.oracle_doc.empty() && test->options.not_compared != nullptr) {
      ++tally.skipped;
      tally.skipped_names.insert(test->name);
      std::printf("SKIP  %s: %s\n", test->name.c_str(), test->options.not_compared);
      continue;
    }
    (test->options.alone ? alone : together).push_back(test);
  }
  for (int round = 0; round < settings.repeat; ++round) {
    run_all(together, settings, rows, settings.jobs, tally);
    run_all(alone, settings, rows, 1, tally);
  }
  std::printf("%d passed, %d failed, %d skipped\n", tally.passed, tally.failed, tally.skipped);
  if (!settings.oracle_doc.empty()) {
    const bool whole_suite = settings.name.empty() && settings.kind.empty() && settings.method.empty();
    return compare_with_rows(chosen, tally, rows, whole_suite);
  }
  if (tally.failed > 0) return kExitFailed;
  return tally.passed == 0 ? kExitSkipped : 0;
}

}  // namespace aiox_test
