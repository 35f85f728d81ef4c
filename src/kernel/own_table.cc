// own_table.cc - finds out, once for each thread, whether its descriptor table is the process's.
//
// Owns what each thread has found out about itself, in thread-local variables, and whether the first thread has left.
// Thread: any, about itself. Blocks: no.
// Never asks the kernel for has_own_table() until some thread is known to have left the common table.
#include "kernel/own_table.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/stat.h>

#include <cerrno>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {

std::atomic<bool> g_has_first_left{false};  // (@) a hint, as g_are_tables_split
thread_local long t_asked_id = 0;  // of whom t_is_own was found out: a vforked child is here too, with its own number
thread_local bool t_is_own = false;
thread_local long t_left_id = 0;   // the thread that left

// 0: the same table as the first thread's. Negative: it cannot be told; a first thread that has ended has none.
long compare_with_first(long process_id, long thread_id) {
  const long difference = raw_syscall(SYS_kcmp, process_id, thread_id, KCMP_FILES, 0, 0);
  if (difference <= 0) return difference;
  // An ending thread gives its memory back before its table: while it has the memory, it had the table, too.
  return raw_syscall(SYS_kcmp, process_id, thread_id, KCMP_VM, 0, 0) == 0 ? difference : -ESRCH;
}

}  // namespace

bool is_only_thread() {
  // A directory for each thread, and two links more.
  struct statx status = {};
  const char* path = "/proc/self/task";
  if (raw_syscall(SYS_statx, AT_FDCWD, as_argument(path), 0, STATX_NLINK, as_argument(&status)) < 0) return false;
  return status.stx_nlink == 3;
}

bool has_own_table_slow() {
  const long thread_id = raw_syscall(SYS_gettid);
  if (t_asked_id == thread_id) return t_is_own;
  const long process_id = raw_syscall(SYS_getpid);
  bool is_own = t_left_id == thread_id;
  const bool has_first_left = g_has_first_left.load(std::memory_order_relaxed);  // relaxed: a hint
  if (thread_id != process_id) {
    const long difference = compare_with_first(process_id, thread_id);
    if (difference >= 0) is_own = (difference == 0) == has_first_left;
  }
  t_is_own = is_own;
  t_asked_id = thread_id;
  return is_own;
}

void note_table_left(bool is_engine_running) {
  if (is_only_thread()) return;
  const long thread_id = raw_syscall(SYS_gettid);
  if (thread_id == raw_syscall(SYS_getpid)) {
    if (!is_engine_running) {
      // The first thread's table counts as the common one from now on: all other threads have left it.
      g_are_tables_split.store(true, std::memory_order_relaxed);  // relaxed: as above
      return;
    }
    g_has_first_left.store(true, std::memory_order_relaxed);  // relaxed: a hint
  }
  t_left_id = thread_id;
  t_asked_id = 0;
  g_are_tables_split.store(true, std::memory_order_relaxed);  // relaxed: to its own thread
}

}  // namespace aiox::kernel
