// waiter.h - one program thread's wait for requests: it reaps the direct lane itself, or sleeps until a publisher wakes
// it.
//
// If all it waits for is in the direct lane and no thread leads there, this one leads: it sleeps in the kernel until an
// event arrives and ends what it finds, its own and other threads'. Otherwise it takes a wait slot, registers it with
// what it waits for, and sleeps on that; when requests of the direct lane are among others, the reaper thread leads for
// it. Who sleeps on a slot looks from time to time whether the leader does its part, and takes its place if not.
//
// The thread may leave the wait for good at any moment (kernel/leaving.h): clean_up gives everything back, and takes no
// lock.
//
// Thread: the waiting one, Undisturbed exactly once by the call that waits. Signal-safe: yes: no lock, no allocation; a
// handler may wait while the thread it interrupted waits.
#pragma once

#include <cstdint>

#include "core/core.h"
#include "lanes/direct_lane.h"

namespace aiox::engine {

class Closing;

// The parts of the engine that a wait works with.
struct WaitingParts {
  Core& core;
  DirectLane& direct;
  Closing& closing;
};

class Waiter {
 public:
  // is_cancellable: the wait is a cancellation point (pthread_cancel).
  Waiter(const WaitingParts& parts, bool is_cancellable);
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // deadline_ns: on CLOCK_MONOTONIC; 0: do not wait; kernel::kNoTimeout: no limit.
  // 0: is_done; -EAGAIN: the time is over; -EINTR: a signal handler ran (and is_done was still false).
  int wait(int64_t deadline_ns);
  // A signal handler forked during the wait, and this is the child: nothing of the engine is there.
  bool is_in_child() const;

 protected:
  ~Waiter() = default;
  // With bodies, though never called: a pure virtual function needs the C++ runtime.
  virtual bool is_done() const { return true; }
  // Whether the requests not done yet will end by this thread's reaping. May be wrong for a moment.
  virtual bool is_self_reaped() const { return false; }
  // Carries out what this thread can of what it waits for. True: is_done. may_block: it may take a plain call's time.
  virtual bool help([[maybe_unused]] bool may_block) { return false; }
  // Whether a handler with SA_RESTART lets a wait without a time limit go on.
  virtual bool restarts() const { return true; }
  // The thread is about to sleep in the direct lane's ring, or has just done so.
  virtual void note_in_lane([[maybe_unused]] bool is_there) {}
  // Registers the slot with the requests waited for: a thread that ends one from now on wakes the slot. No locks.
  virtual void watch([[maybe_unused]] uint32_t slot) {}
  virtual void unwatch([[maybe_unused]] uint32_t slot) {}
  // The signal mask for as long as the thread sleeps: swapped by the kernel, so that no signal is missed. nullptr: its
  // own.
  void set_signal_mask(const uint64_t* mask) { signal_mask_ = mask; }

 private:
  // kOnSlotRestarting: a handler with SA_RESTART lets it go on though it has a limit.
  enum Sleep : uint8_t { kInRing, kOnSlot, kOnSlotRestarting };
  int lead(LaneLead::Taken lead, int64_t deadline_ns);
  int follow(int64_t deadline_ns, LaneLead::Taken* lead);
  int sleep(Sleep where, uint32_t seen, int64_t limit_ns, const uint64_t* mask = nullptr);
  int sleep_masked(uint32_t seen, int64_t deadline_ns);
  int sleep_and_look(uint32_t seen, int64_t until_ns, bool is_unlimited, LaneLead::Taken* lead);
  int sleep_in_lane(int64_t deadline_ns);
  int sleep_long(int64_t deadline_ns);
  int let_in(const uint64_t& mask);
  static int interrupted_by(uint64_t signals, Sleep where, int64_t limit_ns);
  bool may_restart() const;
  void exit_follow();
  void clean_up();
  static void left(void* waiter);

  const WaitingParts parts_;  // a copy: the child of a handler that forks has the thread's stack, and no engine
  uint32_t epoch_;
  bool is_cancellable_;
  uint32_t outer_;            // how deep the thread was when the program called
  const uint64_t* signal_mask_ = nullptr;
  bool is_leading_ = false;   // and must leave
  bool is_wanting_ = false;    // its slot may be chosen to lead
  bool was_follower_ = false;  // wanted to lead, at least once
  bool is_due_ = false;       // counted in ReaperBell::add_due
  bool is_long_ = false;      // the wait
  uint32_t slot_ = 0;         // taken at the first need
};

}  // namespace aiox::engine
