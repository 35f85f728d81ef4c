/* refuse.c - refuse ERROR CALL... -- PROGRAM [ARGUMENT...]: becomes PROGRAM under a seccomp filter that answers the
 * system calls with ERROR: EPERM as a container's profile does, ENOSYS as an old kernel that has no such call, EINVAL
 * does not know its flags, EAGAIN as where a limit is reached; KILL: who makes one ends by SIGSYS. Exit status 77: no
 * filter can be had. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
  const char* name;
  unsigned number;
} kCalls[] = {{"io_setup", SYS_io_setup}, {"io_submit", SYS_io_submit}, {"io_pgetevents", SYS_io_pgetevents},
              {"io_uring_setup", SYS_io_uring_setup}, {"io_uring_register", SYS_io_uring_register},
              {"preadv2", SYS_preadv2}, {"pwritev2", SYS_pwritev2}, {"shmget", SYS_shmget},
              {"shmat", SYS_shmat}, {"shmctl", SYS_shmctl}};
enum { kCallCount = sizeof kCalls / sizeof kCalls[0] };

int main(int argc, char** argv) {
  struct sock_filter code[2 + 2 * kCallCount];
  struct sock_fprog filter = {0, code};
  unsigned error = EPERM;
  const int kills = argc > 1 && strcmp(argv[1], "KILL") == 0;
  int at = 2;
  if (argc > 1 && strcmp(argv[1], "ENOSYS") == 0) error = ENOSYS;
  if (argc > 1 && strcmp(argv[1], "EINVAL") == 0) error = EINVAL;
  if (argc > 1 && strcmp(argv[1], "EAGAIN") == 0) error = EAGAIN;
  const unsigned refusal = kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | error;
  code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
    for (int i = 0; i < kCallCount && filter.len < 2 * kCallCount; i++) {
      if (strcmp(argv[at], kCalls[i].name) != 0) continue;
      code[filter.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCalls[i].number, 0, 1);
      code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, refusal);
    }
  }
  code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  if (at + 1 >= argc) return fputs("refuse ERROR CALL... -- PROGRAM\n", stderr), 2;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    return 77;
  execvp(argv[at + 1], argv + at + 1);
  perror(argv[at + 1]);
  return 127;
}
