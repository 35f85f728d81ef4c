// engine_scope.h - whether this thread is in the middle of the engine.
//
// From the first to the last look at the engine a call of the program's is Undisturbed: a handler that the program
// installed by libc's names is put off until the call is over, or sleeps (shim/signal_exports.cc), and so is
// cancellation where it may strike anywhere. So nothing that a handler does (siglongjmp, fork, exit, another call)
// finds the engine in the middle of something. What comes all the same (a handler installed by a system call of the
// program's own, one for what an instruction causes) must not wait for a lock where the thread may hold one, which is
// while it is in an EngineScope.
//
// The program's own memory is looked at before that where it can be: a fault there may end in a siglongjmp.
//
// initial-exec, so reading it allocates nothing. Its address also names the thread, without a system call.
#pragma once

#include <csignal>
#include <cstdint>

#include "base/assert.h"
#include "kernel/signal_hold.h"

namespace aiox::engine {

// How many EngineScopes the thread is in, how many times Undisturbed, and in the highest bit whether coming in and
// going out take more than counting. Changed by one instruction each, since a handler may set that bit at any moment.
inline thread_local uint32_t t_depth = 0;
inline constexpr uint32_t kCareBit = uint32_t{1} << 31;
inline constexpr uint32_t kScopeOnce = 1;
inline constexpr uint32_t kUndisturbedOnce = uint32_t{1} << 16;

// Of both kinds together. 0: handlers may come.
inline uint32_t scope_depth() { return t_depth & ~kCareBit; }
inline uint32_t lock_depth() { return t_depth & (kUndisturbedOnce - 1); }
inline bool is_in_scope() { return lock_depth() != 0; }
// How deep the call is that a handler struck, if a handler makes this one; 0: none does. Only a handler that cannot be
// put off comes there, and the mask to which it returns blocks what has been put off: that stays so until the struck
// call ends.
inline uint32_t struck_depth() {
  const uint32_t calls = scope_depth() / kUndisturbedOnce;
  return calls < 2 ? 0 : (calls - 1) * kUndisturbedOnce;
}

// Cancellation that may strike anywhere is held off from here on.
void enter_with_care();
// Signals that have been put off come now, if the thread is outside. Returns them.
uint64_t exit_with_care();

#if defined(__x86_64__)
// True: with care.
inline bool count_in(uint32_t once) {
  bool has_care;
  asm volatile("addl %2, %0" : "+m"(t_depth), "=@ccs"(has_care) : "ri"(once) : "memory");
  return has_care;
}
inline bool count_out(uint32_t once) {
  bool has_care;
  asm volatile("subl %2, %0" : "+m"(t_depth), "=@ccs"(has_care) : "ri"(once) : "memory");
  return has_care;
}
inline bool keep_depth_bits(uint32_t bits) {
  bool has_care;
  asm volatile("andl %2, %0" : "+m"(t_depth), "=@ccs"(has_care) : "ri"(bits) : "memory");
  return has_care;
}
inline bool add_depth_bits(uint32_t bits) {
  bool has_care;
  asm volatile("orl %2, %0" : "+m"(t_depth), "=@ccs"(has_care) : "ri"(bits) : "memory");
  return has_care;
}
#else
// seq_cst: accesses made inside stay there, as a handler on this thread sees them.
inline bool count_in(uint32_t once) { return (__atomic_add_fetch(&t_depth, once, __ATOMIC_SEQ_CST) & kCareBit) != 0; }
inline bool count_out(uint32_t once) { return (__atomic_sub_fetch(&t_depth, once, __ATOMIC_SEQ_CST) & kCareBit) != 0; }
inline bool keep_depth_bits(uint32_t bits) {
  return (__atomic_and_fetch(&t_depth, bits, __ATOMIC_SEQ_CST) & kCareBit) != 0;
}
inline bool add_depth_bits(uint32_t bits) {
  return (__atomic_or_fetch(&t_depth, bits, __ATOMIC_SEQ_CST) & kCareBit) != 0;
}
#endif

template <uint32_t kOnce>
struct Counted {
  Counted() {
    if (count_in(kOnce)) [[unlikely]]
      enter_with_care();
  }
  ~Counted() {
    if (count_out(kOnce)) [[unlikely]]
      exit_with_care();
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};
using EngineScope = Counted<kScopeOnce>;
using Undisturbed = Counted<kUndisturbedOnce>;

// Out for the length of a scope: the thread sleeps there, holds no lock, and may be left for good, or be in the child
// of a fork from then on, where nothing of the engine is there. outer: how deep the struck call is, if a handler made
// this one.
class Outside {
 public:
  explicit Outside(uint32_t outer = struck_depth()) : depth_(scope_depth() - outer) {
    AIOX_ASSERT(static_cast<int32_t>(depth_) >= 0);
    if (count_out(depth_)) let_in_ = exit_with_care();
  }
  ~Outside() {
    if (count_in(depth_)) enter_with_care();
  }
  // The signals that had been put off: they have come now.
  uint64_t let_in() const { return let_in_; }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  uint32_t depth_;  // beyond outer
  uint64_t let_in_ = 0;
};

// What the thread was in the middle of is over: it has left for good, and is as deep as it was.
inline void return_to_depth(uint32_t depth) {
  keep_depth_bits(kCareBit);
  if (add_depth_bits(depth)) exit_with_care();
}

// All signals are held off, but for sleeps with previous(), by a thread that sleeps Outside meanwhile. Signals that
// have been put off count among those that are held off.
class Hold {
 public:
  explicit Hold(bool is_wanted = true) : hold_(is_wanted) {
    if (is_wanted && struck_depth() == 0) hold_.keep_open(take_put_off());
  }
  ~Hold() {
    hold_.restore();
    if ((t_depth & kCareBit) != 0) enter_with_care();
  }
  const uint64_t& previous() const { return hold_.previous(); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  static uint64_t take_put_off();
  kernel::SignalHold hold_;
};

// A signal has come while the thread is inside: it is sent again, and comes when the thread goes out. context: the
// handler's. False: it cannot be put off. Signal-safe: yes, inside that signal's handler only.
bool put_off(int signo, siginfo_t* info, void* context);
// A signal has come, and its handler is called. info becomes that of the first of its number that has been put off, if
// any has, since real-time signals come in the order in which they were sent. False: none is left for this one.
// Signal-safe: yes, inside that signal's handler only.
bool take_turn(int signo, siginfo_t* info);
// Whether cancellation may strike this thread anywhere (PTHREAD_CANCEL_ASYNCHRONOUS).
void set_cancellable_anywhere(bool is_cancellable);

inline uintptr_t this_thread_mark() { return reinterpret_cast<uintptr_t>(&t_depth); }

}  // namespace aiox::engine
