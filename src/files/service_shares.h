// service_shares.h - how many units of one file the workers of each service carry out, within the file's share.
//
// The share of a service (worker_share.h) is common to all files; what one file has of it is counted here. A ring's
// window grows as units end, so that a file whose storage hangs from the start takes up little.
// Thread: one at a time (FileQueue::mu_). Blocks: no.
#pragma once

#include <cstdint>
#include <utility>

#include "base/assert.h"
#include "core/request.h"
#include "core/worker_share.h"

namespace aiox::engine {

class ServiceShares {
 public:
  // How much of the service the file may take up; nullptr: no bound. Returns the bound that it replaces.
  WorkerShare* bind(ServiceId service, WorkerShare* share) { return std::exchange(of(service).share, share); }

  // Whether another unit may begin. A hint: try_take decides.
  bool has_room(ServiceId service) const {
    const Use& use = uses_[static_cast<unsigned>(service)];
    if (use.share == nullptr) return true;
    const bool is_ring = service == ServiceId::kRing;
    return use.share->has_room(use.in_hand) && (!is_ring || use.in_hand < ring_window_);
  }

  // Room for one more unit: release is due when it has ended.
  bool try_take(ServiceId service) {
    if (!has_room(service)) return false;
    Use& use = of(service);
    bool is_overcommitted = false;
    if (use.share != nullptr && !use.share->try_take(use.in_hand, &is_overcommitted)) return false;
    use.in_hand++;
    if (is_overcommitted) use.overcommitted++;
    return true;
  }

  // Whichever of a file's ends: one that is overcommitted is released as long as it has one, so that it keeps the one
  // that is its own.
  void release(ServiceId service) {
    Use& use = of(service);
    AIOX_ASSERT(use.in_hand > 0 && use.overcommitted <= use.in_hand);
    use.in_hand--;
    if (service == ServiceId::kRing) ring_window_ = use.in_hand == 0 ? WorkerShare::kFirstWindow : ring_window_ + 1;
    if (use.overcommitted == 0) return;
    use.overcommitted--;
    use.share->release_overcommit();
  }

 private:
  struct Use {
    WorkerShare* share = nullptr;
    uint32_t in_hand = 0;  // units that workers of the service carry out
    uint32_t overcommitted = 0;  // of them those that `share` counts
  };
  Use& of(ServiceId service) { return uses_[static_cast<unsigned>(service)]; }

  Use uses_[kServiceCount];
  uint32_t ring_window_ = WorkerShare::kFirstWindow;  // units that a ring may have
};

}  // namespace aiox::engine
