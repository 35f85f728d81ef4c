#include "cli/run/witness.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace aiox::cli {
namespace {

constexpr int kAnswerTimeoutMs = 1000;  // one that has been stopped does not answer
constexpr const char* kName = "signal-witness";

// pkill and killall choose by name: under that of the command the witness would get what was meant for the command
// alone.
void rename_itself() {
  ::prctl(PR_SET_NAME, kName);
  // The words of the command line, and what /proc shows of them: from the first to the end of the last.
  char* line = program_invocation_name;
  std::size_t bytes = 0;
  if (std::FILE* in = std::fopen("/proc/self/cmdline", "re")) {
    while (std::fgetc(in) != EOF) ++bytes;
    std::fclose(in);
  }
  if (bytes > std::strlen(kName)) std::strncpy(line, kName, bytes);  // fills up with zero bytes
}

[[noreturn]] void be_witness(int channel, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  // Ends of pipes that others wait for the end of.
  ::close_range(0, static_cast<unsigned>(channel) - 1, 0);
  ::close_range(static_cast<unsigned>(channel) + 1, ~0U, 0);
  rename_itself();
  unsigned char asked = 0;
  while (::read(channel, &asked, 1) == 1) {
    sigset_t only;
    ::sigemptyset(&only);
    ::sigaddset(&only, asked);
    const timespec at_once{};
    const unsigned char answer = ::sigtimedwait(&only, nullptr, &at_once) == asked ? 1 : 0;
    if (::write(channel, &answer, 1) != 1) break;
  }
  ::_exit(0);
}

}  // namespace

GroupWitness::GroupWitness() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    ::close(ends[0]);
    be_witness(ends[1], parent);
  }
  ::close(ends[1]);
  channel_ = ends[0];
}

GroupWitness::~GroupWitness() { end(); }

void GroupWitness::end() {
  if (channel_ >= 0) ::close(channel_);
  if (process_ > 0 && ::kill(process_, SIGKILL) == 0) ::waitpid(process_, nullptr, 0);
  channel_ = process_ = -1;
}

bool GroupWitness::saw(int signal) {
  if (process_ <= 0) return false;
  // Who sends to a group holds the kernel's list of processes until all have it, and a change of group waits for the
  // list: when this returns the witness has what this process has got. The group stays what it was.
  ::setpgid(process_, ::getpgrp());
  const auto asked = static_cast<unsigned char>(signal);
  unsigned char answer = 0;
  pollfd wait = {channel_, POLLIN, 0};
  if (::send(channel_, &asked, 1, MSG_NOSIGNAL) != 1) return false;
  const bool is_answered = ::poll(&wait, 1, kAnswerTimeoutMs) == 1 && ::read(channel_, &answer, 1) == 1;
  if (!is_answered) end();  // an answer that comes late must not be taken for the next one
  return is_answered && answer == 1;
}

}  // namespace aiox::cli
