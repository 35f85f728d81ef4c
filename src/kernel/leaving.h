// leaving.h - runs a clean-up when a thread leaves a call for good in the middle: by siglongjmp out of a signal
// handler, by pthread_exit in one, or by cancellation.
//
// glibc calls the routine in all three cases, on the leaving thread, as long as the frame is still there: it is on the
// thread's list of clean-up buffers, which longjmp runs down to its target as well (nptl/cleanup.c). The macros of
// <pthread.h> use another list in C++, and that one only cancellation and pthread_exit know. Costs some stores.
//
// Thread: any. Signal-safe: yes.
#pragma once

#include <pthread.h>

extern "C" {
void _pthread_cleanup_push(struct _pthread_cleanup_buffer* buffer, void (*routine)(void*), void* argument) noexcept;
void _pthread_cleanup_pop(struct _pthread_cleanup_buffer* buffer, int is_to_run) noexcept;
}

namespace aiox::kernel {

// routine: may take no lock that the thread may hold where it was interrupted.
class Leaving {
 public:
  Leaving(void (*routine)(void*), void* argument) { _pthread_cleanup_push(&buffer_, routine, argument); }
  ~Leaving() { _pthread_cleanup_pop(&buffer_, 0); }
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;

 private:
  _pthread_cleanup_buffer buffer_;
};

}  // namespace aiox::kernel
