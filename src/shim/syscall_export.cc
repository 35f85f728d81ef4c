// syscall_export.cc - libc's syscall(2), for the programs that make a few calls by their numbers: those of native AIO
// (nginx, MariaDB, stress-ng, Seastar) and those that close descriptors. Every other number passes through.
//
// Those jump to the next definition (next_definition.h), libc's as a rule, behind eight comparisons: same registers, no
// stack, so it works in signal handlers, in children of a raw clone, and before libc is ready. C is entered for numbers
// that are answered here, and by the first call, which looks the next definition up; where there is none, libc's own
// instructions stand below. The number is compared as the kernel takes it, by its lower half.
//
// Thread: any. Signal-safe: as the call that is made. x86-64 and aarch64: elsewhere the name is left to libc, whose own
// entry could only be reached by a look-up, and native AIO by number is the kernel's.

#include <sched.h>
#include <sys/syscall.h>

#include <cerrno>

#include "kernel/program_memory.h"
#include "kernel/raw_syscall.h"
#include "kernel/served_faults.h"
#include "shim/descriptors.h"
#include "shim/libaio.h"
#include "shim/next_definition.h"

#if defined(__x86_64__) || defined(__aarch64__)

using namespace aiox;

using SyscallFunction = long(long number, long a, long b, long c, long d, long e, long f);

extern "C" {
SyscallFunction aiox_syscall_plain __attribute__((visibility("hidden")));  // below
SyscallFunction aiox_syscall_first __attribute__((used, visibility("hidden")));
__attribute__((used, visibility("hidden"))) SyscallFunction* aiox_syscall_next = aiox_syscall_first;
}

namespace {

// As raw_syscall, by the next definition.
long pass_on(int number, long a, long b, long c, long d, long e, long f) {
  const int saved_errno = errno;
  // relaxed: an address of code, the same for all
  const long result = __atomic_load_n(&aiox_syscall_next, __ATOMIC_RELAXED)(number, a, b, c, d, e, f);
  if (result != -1) return result;
  const int error = errno;
  errno = saved_errno;
  return -error;
}

// The sixth argument of SYS_io_pgetevents.
struct MaskArgument {
  const sigset_t* mask;
  size_t mask_bytes;
};

template <class T>
T* pointer(long argument) {
  return reinterpret_cast<T*>(argument);
}

aio_context_t context_of(long argument) { return static_cast<aio_context_t>(argument); }

bool can_be_read(const MaskArgument* set) {
  return kernel::can_read_word(&set->mask) && kernel::can_read_word(&set->mask_bytes);
}

// Arguments have the widths that the kernel gives them.
long answer(int number, long a, long b, long c, long d, long e, long f) {
  switch (number) {
    case SYS_io_setup: return shim::setup_context(static_cast<unsigned>(a), pointer<aio_context_t>(b));
    case SYS_io_destroy: return shim::destroy_context(context_of(a));
    case SYS_io_submit: return shim::submit_blocks(context_of(a), b, pointer<iocb*>(c));
    case SYS_io_cancel: return shim::cancel_block(context_of(a), pointer<iocb>(b), pointer<io_event>(c));
    case SYS_io_getevents:
      return shim::get_events(context_of(a), b, c, pointer<io_event>(d), pointer<const timespec>(e));
    case SYS_io_pgetevents: {
      const auto* set = pointer<const MaskArgument>(f);
      if (set != nullptr && !can_be_read(set)) return -EFAULT;
      return shim::get_events(context_of(a), b, c, pointer<io_event>(d), pointer<const timespec>(e),
                              set != nullptr ? set->mask : nullptr, set != nullptr ? set->mask_bytes : 0);
    }
    case SYS_userfaultfd: kernel::note_faults_served(); break;
    case SYS_close: shim::before_close(static_cast<int>(a)); break;
#if defined(SYS_dup2)
    case SYS_dup2: shim::before_dup(static_cast<int>(a), static_cast<int>(b)); break;
#endif
    case SYS_dup3: shim::before_dup(static_cast<int>(a), static_cast<int>(b), static_cast<int>(c)); break;
    case SYS_close_range:
      shim::before_close_range(static_cast<unsigned>(a), static_cast<unsigned>(b), static_cast<unsigned>(c));
      break;
  }
  const long result = pass_on(number, a, b, c, d, e, f);
  switch (number) {
    case SYS_close: shim::after_close(static_cast<int>(a)); break;
#if defined(SYS_dup2)
    case SYS_dup2:
#endif
    case SYS_dup3: shim::after_close(static_cast<int>(result)); break;
    case SYS_close_range:
      shim::after_unsharing(result, (static_cast<unsigned>(c) & shim::kCloseRangeUnshare) != 0);
      shim::after_close_range(result, static_cast<unsigned>(a), static_cast<unsigned>(b));
      break;
    case SYS_unshare: shim::after_unsharing(result, (a & CLONE_FILES) != 0); break;
  }
  return result;
}

}  // namespace

// Entered from `syscall` below by a jump, with its arguments where they were: the C calling convention passes these
// seven as it passes those.
extern "C" __attribute__((used, visibility("hidden"))) long aiox_syscall_answer(long number, long a, long b, long c,
                                                                                long d, long e, long f) {
  return shim::as_libc(answer(static_cast<int>(number), a, b, c, d, e, f));
}

extern "C" long aiox_syscall_first(long number, long a, long b, long c, long d, long e, long f) {
  static constinit shim::NextDefinition<SyscallFunction> next{"syscall", aiox_syscall_plain};
  SyscallFunction* function = next.get();
  __atomic_store_n(&aiox_syscall_next, function, __ATOMIC_RELAXED);  // relaxed: an address of code, the same for all
  return function(number, a, b, c, d, e, f);
}

// Likewise, with the kernel's answer, which is an error.
extern "C" __attribute__((used, visibility("hidden"))) long aiox_syscall_fail(long result) {
  return shim::as_libc(result);
}

#define AIOX_TEXT_OF(number) #number
#define AIOX_TEXT(number) AIOX_TEXT_OF(number)

#if defined(__x86_64__)
static_assert(SYS_io_getevents == SYS_io_setup + 2 && SYS_io_cancel == SYS_io_setup + 4, "the five are in a row");

// clang-format off
asm(".pushsection .text.syscall, \"ax\", @progbits\n"
    ".balign 16\n"
    ".globl syscall\n"
    ".type syscall, @function\n"
    "syscall:\n"
    ".cfi_startproc\n"
    "  endbr64\n"
    "  leal -" AIOX_TEXT(SYS_io_setup) "(%rdi), %eax\n"
    "  cmpl $4, %eax\n"
    "  jbe 1f\n"
    "  cmpl $" AIOX_TEXT(SYS_close) ", %edi\n"
    "  je 1f\n"
    "  cmpl $" AIOX_TEXT(SYS_dup2) ", %edi\n"
    "  je 1f\n"
    "  cmpl $" AIOX_TEXT(SYS_dup3) ", %edi\n"
    "  je 1f\n"
    "  cmpl $" AIOX_TEXT(SYS_io_pgetevents) ", %edi\n"
    "  je 1f\n"
    "  cmpl $" AIOX_TEXT(SYS_close_range) ", %edi\n"
    "  je 1f\n"
    "  cmpl $" AIOX_TEXT(SYS_unshare) ", %edi\n"
    "  je 1f\n"
    "  cmpl $" AIOX_TEXT(SYS_userfaultfd) ", %edi\n"
    "  je 1f\n"
    "  jmp *aiox_syscall_next(%rip)\n"
    "1: jmp aiox_syscall_answer\n"
    ".cfi_endproc\n"
    ".size syscall, . - syscall\n"
    ".balign 16\n"
    ".globl aiox_syscall_plain\n"
    ".hidden aiox_syscall_plain\n"
    ".type aiox_syscall_plain, @function\n"
    "aiox_syscall_plain:\n"
    ".cfi_startproc\n"
    "  endbr64\n"
    "  movq %rdi, %rax\n"
    "  movq %rsi, %rdi\n"
    "  movq %rdx, %rsi\n"
    "  movq %rcx, %rdx\n"
    "  movq %r8, %r10\n"
    "  movq %r9, %r8\n"
    "  movq 8(%rsp), %r9\n"
    "  syscall\n"
    "  cmpq $-4095, %rax\n"
    "  jae 2f\n"
    "  ret\n"
    "2: movq %rax, %rdi\n"
    "  jmp aiox_syscall_fail\n"
    ".cfi_endproc\n"
    ".size aiox_syscall_plain, . - aiox_syscall_plain\n"
    ".popsection\n");
// clang-format on
#else
static_assert(SYS_io_setup == 0 && SYS_io_getevents == 4, "the five are the first");

// clang-format off
asm(".pushsection .text.syscall, \"ax\", %progbits\n"
    ".balign 16\n"
    ".globl syscall\n"
    ".type syscall, %function\n"
    "syscall:\n"
    ".cfi_startproc\n"
    "  hint #34\n"  // bti c
    "  cmp w0, #" AIOX_TEXT(SYS_io_getevents) "\n"
    "  b.ls 1f\n"
    "  cmp w0, #" AIOX_TEXT(SYS_dup3) "\n"
    "  b.eq 1f\n"
    "  cmp w0, #" AIOX_TEXT(SYS_close) "\n"
    "  b.eq 1f\n"
    "  cmp w0, #" AIOX_TEXT(SYS_io_pgetevents) "\n"
    "  b.eq 1f\n"
    "  cmp w0, #" AIOX_TEXT(SYS_close_range) "\n"
    "  b.eq 1f\n"
    "  cmp w0, #" AIOX_TEXT(SYS_unshare) "\n"
    "  b.eq 1f\n"
    "  cmp w0, #" AIOX_TEXT(SYS_userfaultfd) "\n"
    "  b.eq 1f\n"
    "  adrp x16, aiox_syscall_next\n"
    "  ldr x16, [x16, :lo12:aiox_syscall_next]\n"
    "  br x16\n"
    "1: b aiox_syscall_answer\n"
    ".cfi_endproc\n"
    ".size syscall, . - syscall\n"
    ".balign 16\n"
    ".globl aiox_syscall_plain\n"
    ".hidden aiox_syscall_plain\n"
    ".type aiox_syscall_plain, %function\n"
    "aiox_syscall_plain:\n"
    ".cfi_startproc\n"
    "  hint #34\n"  // bti c
    "  uxtw x8, w0\n"
    "  mov x0, x1\n"
    "  mov x1, x2\n"
    "  mov x2, x3\n"
    "  mov x3, x4\n"
    "  mov x4, x5\n"
    "  mov x5, x6\n"
    "  svc #0\n"
    "  cmn x0, #4095\n"
    "  b.hs 2f\n"
    "  ret\n"
    "2: b aiox_syscall_fail\n"
    ".cfi_endproc\n"
    ".size aiox_syscall_plain, . - aiox_syscall_plain\n"
    ".popsection\n");
#endif
// clang-format on
#endif
