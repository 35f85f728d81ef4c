// fcntl_export.cc - libc's fcntl(2), for the one command by which a program changes how its open file does I/O.
//
// The kernel's AIO does a request as the file was when it was submitted. nginx turns O_DIRECT off for the unaligned
// ends of what it reads, and on again, on a descriptor that several of its connections share. A request that stands in
// a queue would be done as the file is by then; so before O_DIRECT or O_APPEND changes, what was submitted on the
// number is seen to its end (Engine::status_flags_changing).
//
// Every other command passes through by a jump to libc's own entry, under the other name that libc exports for it, so
// it is the cancellation point that it was. Thread: any. Signal-safe: yes. Blocks: F_SETFL, as said.

#include <fcntl.h>

#include "shim/descriptors.h"

#if defined(__x86_64__) || defined(__aarch64__)

extern "C" int __fcntl(int fd, int command, ...);  // libc's fcntl

extern "C" __attribute__((used, visibility("hidden"))) int aiox_fcntl_set_flags(int fd, int command, int flags) {
  aiox::shim::before_status_flags(fd, flags);
  return __fcntl(fd, command, flags);
}

static_assert(F_SETFL == 4, "as it stands below");

// clang-format off
#if defined(__x86_64__)
asm(".pushsection .text.fcntl, \"ax\", @progbits\n"
    ".balign 16\n"
    ".globl fcntl, fcntl64\n"
    ".type fcntl, @function\n"
    ".type fcntl64, @function\n"
    "fcntl:\n"
    "fcntl64:\n"
    ".cfi_startproc\n"
    "  endbr64\n"
    "  cmpl $4, %esi\n"
    "  je aiox_fcntl_set_flags\n"
    "  jmp *__fcntl@GOTPCREL(%rip)\n"
    ".cfi_endproc\n"
    ".size fcntl, . - fcntl\n"
    ".size fcntl64, . - fcntl64\n"
    ".popsection\n");
#else
asm(".pushsection .text.fcntl, \"ax\", %progbits\n"
    ".balign 16\n"
    ".globl fcntl, fcntl64\n"
    ".type fcntl, %function\n"
    ".type fcntl64, %function\n"
    "fcntl:\n"
    "fcntl64:\n"
    ".cfi_startproc\n"
    "  hint #34\n"  // bti c
    "  cmp w1, #4\n"
    "  b.eq 1f\n"
    "  adrp x16, :got:__fcntl\n"
    "  ldr x16, [x16, :got_lo12:__fcntl]\n"
    "  br x16\n"
    "1: b aiox_fcntl_set_flags\n"
    ".cfi_endproc\n"
    ".size fcntl, . - fcntl\n"
    ".size fcntl64, . - fcntl64\n"
    ".popsection\n");
#endif
// clang-format on
#endif
