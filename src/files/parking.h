// parking.h - runnable requests of which no worker has been told: left to the thread that waits for them.
//
// By service: what becomes runnable for a service later ends the parking of what stands there. What no thread has
// fetched is given to workers after a tick of the reaper.
// Thread: one at a time (FileQueue::mu_). Blocks: no.
#pragma once

#include <cstdint>

#include "core/request.h"

namespace aiox::engine {

// Services for which a file has work that no worker has been told of yet: bit 1 << ServiceId.
using ServiceMask = uint8_t;
constexpr ServiceMask mask_of(ServiceId service) {
  return static_cast<ServiceMask>(1u << static_cast<unsigned>(service));
}

class Parking {
 public:
  ServiceMask parked() const { return parked_; }
  // The reaper calls tick.
  bool is_ticking() const { return is_ticking_; }

  // The services' workers are to be told.
  void unpark(ServiceMask services) { parked_ = static_cast<ServiceMask>(parked_ & ~services); }
  void unpark_all() { parked_ = 0; }

  // True: tick is to be called from now on.
  bool park(ServiceId service) {
    const bool is_first = !is_ticking_;
    parked_ = static_cast<ServiceMask>(parked_ | mask_of(service));
    is_ticking_ = true;
    was_parked_since_tick_ = true;
    return is_first;
  }

  // One tick has passed, and services in `waited` have been parked for more than one, or have nothing left.
  // False: tick need not be called until park says so again.
  bool tick(ServiceMask waited) {
    unpark(waited);
    is_ticking_ = parked_ != 0 || was_parked_since_tick_;
    was_parked_since_tick_ = false;
    return is_ticking_;
  }

 private:
  ServiceMask parked_ = 0;
  bool is_ticking_ = false;
  bool was_parked_since_tick_ = false;
};

}  // namespace aiox::engine
