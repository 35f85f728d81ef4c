// ring_keeper.h - the thread that gives contexts of the kernel's AIO back (lane_rings.h): the small one when a larger
// one has taken its place and its requests have ended, and that when it has been idle for AIOX_IDLE_MS.
//
// It is started when the first context is not enough, so programs with few requests in flight have no such thread; what
// they have is given back by the reaper, if there is one, and else counts one in fs.aio-max-nr. Thread: any, in a
// submitting call. Blocks: no.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/mutex.h"
#include "lanes/lane_rings.h"

namespace aiox::engine {

class DirectLane;
class DirectTrial;
struct Core;

class RingKeeper {
 public:
  void open(Core* core, DirectLane* direct, DirectTrial* trial) {
    core_ = core;
    direct_ = direct;
    trial_ = trial;
  }

  // Makes a larger context, since `full` is full. True: there is one that is not.
  bool grow(const kernel::AioRing* full) AIOX_EXCLUDES(start_mu_);

 private:
  bool ensure() AIOX_EXCLUDES(start_mu_);
  static void* thread_entry(void* keeper);
  void run();
  void drain(kernel::AioRing* old);
  bool try_exit();

  Core* core_ = nullptr;
  DirectLane* direct_ = nullptr;
  DirectTrial* trial_ = nullptr;
  kernel::Mutex start_mu_;
  std::atomic<bool> is_alive_{false};  // (@) E-keeper
  std::atomic<uint32_t> news_{0};      // (@) E-keeper: its futex
};

}  // namespace aiox::engine
