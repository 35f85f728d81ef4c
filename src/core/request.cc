// request.cc - the checked steps of a request's states, and the copy of a notification's thread attributes.
//
// Owns nothing. Thread: whichever has the request at that moment; the exchange hands it on (E-state). Blocks: no;
// copying attributes allocates, in the submitting call. Never looks at the control block.
#include "core/request.h"

#include <sched.h>

namespace aiox::engine {

void change_state(Request* request, RequestState from, RequestState to) {
  AIOX_ASSERT(is_step_allowed(from, to));
  [[maybe_unused]] RequestState previous = request->state.exchange(to, std::memory_order_acq_rel);  // E-state
  AIOX_ASSERT(previous == from);
}

void mark_done(Request* request) {
  // E-state
  [[maybe_unused]] RequestState previous = request->state.exchange(RequestState::kDone, std::memory_order_acq_rel);
  AIOX_ASSERT(previous == RequestState::kInFlight || previous == RequestState::kCanceling ||
              previous == RequestState::kDone);
}

bool copy_attributes(const pthread_attr_t* from, Notification* to) {
  // A pthread_attr_t may point to storage of its own (CPU set, signal mask), so it is copied property by property.
  if (pthread_attr_init(&to->attributes) != 0) return false;
  to->has_attributes = true;
  pthread_attr_setdetachstate(&to->attributes, PTHREAD_CREATE_DETACHED);
  size_t size_bytes;
  int number;
  struct sched_param parameters;
  cpu_set_t processors;
  void* stack = nullptr;
  // Without a stack of the program's own, glibc answers with an address that ends at zero.
  bool has_stack = pthread_attr_getstack(from, &stack, &size_bytes) == 0 && stack != nullptr &&
                   reinterpret_cast<uintptr_t>(stack) + size_bytes != 0;
  if (has_stack) {
    pthread_attr_setstack(&to->attributes, stack, size_bytes);
  } else if (pthread_attr_getstacksize(from, &size_bytes) == 0) {
    pthread_attr_setstacksize(&to->attributes, size_bytes);
  }
  if (pthread_attr_getguardsize(from, &size_bytes) == 0) pthread_attr_setguardsize(&to->attributes, size_bytes);
  if (pthread_attr_getschedpolicy(from, &number) == 0) pthread_attr_setschedpolicy(&to->attributes, number);
  if (pthread_attr_getschedparam(from, &parameters) == 0) pthread_attr_setschedparam(&to->attributes, &parameters);
  if (pthread_attr_getinheritsched(from, &number) == 0) pthread_attr_setinheritsched(&to->attributes, number);
  if (pthread_attr_getscope(from, &number) == 0) pthread_attr_setscope(&to->attributes, number);
  if (pthread_attr_getaffinity_np(from, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) < CPU_SETSIZE) {
    pthread_attr_setaffinity_np(&to->attributes, sizeof processors, &processors);
  }
  return true;
}

}  // namespace aiox::engine
