#include "cli/run/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cli/exit.h"
#include "cli/run/witness.h"
#include "stats/ticks.h"

namespace aiox::cli {
namespace {

constexpr long kLookEachNs = 100'000'000;

// Whether the program has got the signal by itself, as one of the group that it was sent to.
bool has_come_to(pid_t child, const siginfo_t& info, GroupWitness* witness) {
  const bool is_of_the_group = witness->saw(info.si_signo);
  return is_of_the_group && ::getpgid(child) == ::getpgrp();
}

bool is_terminal_stop(int signal) { return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU; }

// False: it has ended, as *status says.
bool look_after(pid_t child, int* status) {
  while (::waitpid(child, status, WNOHANG | WUNTRACED) == child) {
    if (!WIFSTOPPED(*status)) return false;
    // A shell that waits for this process is to see the job stopped; it continues both.
    if (is_terminal_stop(WSTOPSIG(*status))) ::kill(::getpid(), SIGSTOP);
  }
  return true;
}

// What the terminal sent both, and the program ended by, is not to end this process as well before it has told of it.
void drop_pending(const sigset_t& signals) {
  const timespec at_once{};
  while (::sigtimedwait(&signals, nullptr, &at_once) > 0) {
  }
}

}  // namespace

int execute(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  return errno;
}

Outcome run_below(const std::vector<std::string>& words, const std::function<void()>& look, int* error) {
  *error = 0;
  int news[2];  // errno, where exec fails; closed by it where not
  if (::pipe2(news, O_CLOEXEC) != 0) {
    *error = errno;
    return {};
  }
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  for (const int own : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS}) ::sigdelset(&all, own);
  ::sigprocmask(SIG_BLOCK, &all, &before);
  // Ignored, a child's end would tell nobody of its status.
  struct sigaction by_default{};
  struct sigaction child_before{};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &by_default, &child_before);
  const std::uint64_t begin_ns = stats::clock_ns(CLOCK_MONOTONIC);
  const pid_t parent = ::getpid();
  std::fflush(nullptr);
  GroupWitness witness;
  const pid_t child = ::fork();
  if (child < 0) {
    *error = errno;
    return {};
  }
  if (child == 0) {
    ::sigaction(SIGCHLD, &child_before, nullptr);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    // Had this process become the program, SIGKILL would have met that.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(kExitRunFailed);
    const int failure = execute(words);
    (void)!::write(news[1], &failure, sizeof failure);
    ::_exit(kExitRunFailed);
  }
  ::close(news[1]);
  ssize_t count;
  while ((count = ::read(news[0], error, sizeof *error)) < 0 && errno == EINTR) {
  }
  if (count != sizeof *error) *error = 0;
  ::close(news[0]);
  int status = 0;
  while (look_after(child, &status)) {
    look();
    siginfo_t info{};
    const timespec a_while = {0, kLookEachNs};
    const int signal = ::sigtimedwait(&all, &info, &a_while);
    if (signal > 0 && signal != SIGCHLD && !has_come_to(child, info, &witness)) ::kill(child, signal);
  }
  drop_pending(all);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return {status, static_cast<double>(stats::clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9};
}

void end_as(const Outcome& outcome) {
  if (!WIFSIGNALED(outcome.status)) throw Exit{WEXITSTATUS(outcome.status)};
  std::fflush(nullptr);
  const int signal = WTERMSIG(outcome.status);
  const rlimit none = {0, 0};  // the core worth having is the program's
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(signal, SIG_DFL);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(signal);
  throw Exit{128 + signal};
}

}  // namespace aiox::cli
