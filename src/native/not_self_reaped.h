// not_self_reaped.h - requests in flight that do not end by a waiter's own reaping of the direct lane: those of the
// service pool, and those with a notification.
//
// Thread: any. Signal-safe: yes.
#pragma once

#include "core/request.h"
#include "native/context_of.h"

namespace aiox::engine {

class NotSelfReaped {
 public:
  void add(Request* request) {
    request->counted.is_not_self_reaped = true;
    count_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: Reaper::try_exit
    // relaxed: a hint
    if (request->origin.group != nullptr)
      request->origin.group->not_self_reaped.fetch_add(1, std::memory_order_relaxed);
    add_not_self_reaped(request->origin.context);
  }
  void remove(Request* request) {
    if (!request->counted.is_not_self_reaped) return;
    request->counted.is_not_self_reaped = false;
    count_.fetch_sub(1, std::memory_order_release);  // release: with is_any, the request's end
    if (request->origin.group != nullptr)
      request->origin.group->not_self_reaped.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a hint
    remove_not_self_reaped(request->origin.context);
  }
  bool is_any() const { return count_.load(std::memory_order_acquire) > 0; }  // acquire, with remove's release: a hint
  // For the reaper, which says that it is gone before it looks.
  bool is_any_for_reaper() const { return count_.load(std::memory_order_seq_cst) > 0; }  // seq_cst, with add

 private:
  alignas(64) std::atomic<uint32_t> count_{0};
};

}  // namespace aiox::engine
