// fcntl_export.cc - libc's fcntl(2), for the one command by which a program changes how its open file does I/O.
//
// The kernel's AIO does a request as the file was when it was submitted. nginx turns O_DIRECT off for the unaligned
// ends of its reads, and on again, on a descriptor that several of its connections share. A queued request would be
// done as the file is by then; so before O_DIRECT or O_APPEND changes, the call waits until the requests on the number
// have ended (Closing::before_flags).
//
// Every other command passes through by a jump to the next definition (next_definition.h), libc's as a rule, so it is
// the cancellation point that it was. Thread: any. Signal-safe: yes. Blocks: F_SETFL, as said.

#include <fcntl.h>

#include "shim/descriptors.h"
#include "shim/next_definition.h"

#if defined(__x86_64__) || defined(__aarch64__)

extern "C" int __fcntl(int fd, int command, ...);  // libc's fcntl

extern "C" {

// A command has at most one more argument, which fits a register.
__attribute__((used, visibility("hidden"))) int aiox_fcntl_first(int fd, int command, long argument);
__attribute__((used, visibility("hidden"))) int (*aiox_fcntl_next)(int fd, int command, long argument) =
    aiox_fcntl_first;

int aiox_fcntl_first(int fd, int command, long argument) {
  static constinit aiox::shim::NextDefinition<int(int, int, ...)> next{"fcntl", __fcntl};
  auto* function = reinterpret_cast<int (*)(int, int, long)>(next.get());
  __atomic_store_n(&aiox_fcntl_next, function, __ATOMIC_RELAXED);  // relaxed: an address of code, the same for all
  return function(fd, command, argument);
}

__attribute__((used, visibility("hidden"))) int aiox_fcntl_set_flags(int fd, int command, int flags) {
  aiox::shim::before_status_flags(fd, flags);
  return __atomic_load_n(&aiox_fcntl_next, __ATOMIC_RELAXED)(fd, command, flags);  // relaxed: as above
}
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
    "  jmp *aiox_fcntl_next(%rip)\n"
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
    "  adrp x16, aiox_fcntl_next\n"
    "  ldr x16, [x16, :lo12:aiox_fcntl_next]\n"
    "  br x16\n"
    "1: b aiox_fcntl_set_flags\n"
    ".cfi_endproc\n"
    ".size fcntl, . - fcntl\n"
    ".size fcntl64, . - fcntl64\n"
    ".popsection\n");
#endif
// clang-format on
#endif
