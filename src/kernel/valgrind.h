// valgrind.h - whether the process runs under valgrind, which keeps its one lock over io_uring_enter: a thread that
// sleeps there stops all the others.
//
// The question is an instruction sequence that does nothing on a processor and that valgrind answers (its client
// request RUNNING_ON_VALGRIND). Thread: any. Signal-safe: yes.
#pragma once

#include <cstdint>

namespace aiox::kernel {

inline bool is_under_valgrind() {
#if defined(__x86_64__)
  volatile uint64_t question[6] = {0x1001, 0, 0, 0, 0, 0};
  uint64_t answer = 0;
  asm volatile(
      "rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi\n\t"
      "xchgq %%rbx, %%rbx"
      : "+d"(answer)
      : "a"(&question[0])
      : "cc", "memory");
  return answer != 0;
#else
  return false;
#endif
}

}  // namespace aiox::kernel
