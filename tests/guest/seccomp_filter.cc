// seccomp_filter.cc - see seccomp_filter.h.
#include "seccomp_filter.h"

#include <cstddef>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

namespace guest {

namespace {

bool set_filter(std::vector<sock_filter> program) {
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

sock_filter load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset)); }

bool filter_system_calls(const std::vector<long>& numbers, unsigned action) {
  std::vector<sock_filter> program = {load(offsetof(seccomp_data, nr))};
  for (long number : numbers) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  }
  return set_filter(program);
}

}  // namespace

bool refuse_system_calls(const std::vector<long>& numbers, int error) {
  return filter_system_calls(numbers, SECCOMP_RET_ERRNO | static_cast<unsigned>(error));
}

bool answer_nothing(long number, unsigned argument, unsigned flag) {
  // The lower half of the argument: the machines that aiox runs on are little-endian.
  const size_t at = offsetof(seccomp_data, args) + argument * sizeof(uint64_t);
  return set_filter({load(offsetof(seccomp_data, nr)),
                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 3), load(at),
                     BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO)});
}

bool kill_for_system_calls(const std::vector<long>& numbers) {
  return filter_system_calls(numbers, SECCOMP_RET_KILL_PROCESS);
}

}  // namespace guest
