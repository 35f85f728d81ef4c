// engine.h - the whole of aiox in one process: makes its parts, holds them together, and gives them to the interfaces.
//
// One Engine exists per process, made at the first AIO call and never destroyed. It is reached through a page that the
// kernel wipes in a child of fork (MADV_WIPEONFORK), and all its memory is absent there (MADV_DONTFORK): a child, by
// whatever call it was forked, finds no engine and makes its own at its first AIO call; nothing of the parent's can be
// reached from it (invariant 5). A vfork child shares the page and must not make AIO calls, as with any library.
//
// Parts know only what they were given here, and nothing of the Engine.
#pragma once

#include "core/completion.h"
#include "core/core.h"
#include "engine/buffered_native.h"
#include "engine/cancelling.h"
#include "engine/context_lifetime.h"
#include "engine/file_identity.h"
#include "engine/lane_status.h"
#include "engine/lists.h"
#include "engine/submitting.h"
#include "files/closing.h"
#include "files/file_table.h"
#include "lanes/block_devices.h"
#include "lanes/direct_lane.h"
#include "lanes/direct_trial.h"
#include "lanes/ring_keeper.h"
#include "native/context.h"
#include "native/not_self_reaped.h"
#include "waiting/helping.h"
#include "waiting/reaper.h"
#include "waiting/waiter.h"
#include "workers/notifier.h"
#include "workers/service_pool.h"

namespace aiox::engine {

class Engine {
 public:
  // The engine of this process, or nullptr: there was no AIO call yet (or none since fork). Signal-safe.
  static Engine* running();
  // The same, made if need be. nullptr: no memory. Blocks: bounded.
  static Engine* get();

  // ---- Its parts, for the interfaces ----
  Core& core() { return core_; }
  Submitting& submitting() { return submitting_; }
  Completion& completion() { return completion_; }
  Lists& lists() { return lists_; }
  Cancelling& cancelling() { return cancelling_; }
  Closing& closing() { return closing_; }
  FileIdentity& identity() { return identity_; }
  FileTable& files() { return files_; }
  Helping& helping() { return helping_; }
  Contexts& contexts() { return contexts_; }
  ContextLifetime& context_lifetime() { return context_lifetime_; }
  const WaitingParts& waiting() const { return waiting_; }
  ServicePool& pool() { return pool_; }
  DirectLane& direct() { return direct_; }
  DirectTrial& direct_trial() { return direct_trial_; }

  // Ends what the direct lane has ready. For pollers. Signal-safe: yes.
  void poll_direct() {
    direct_.poll(ReapBy::kWaiter);
    closing_.complete_handler_closes();
  }
  // Whether all requests in flight end by their waiters' own reaping. Signal-safe: yes. A hint.
  bool is_everything_self_reaped() const { return !not_self_reaped_.is_any(); }
  // Whether poll_direct is worth calling. A hint.
  bool has_direct_work() const { return direct_.in_flight() > 0 || direct_.has_deferred(ReapBy::kWaiter); }

  LaneStatus lane_status(stats::Lane lane) {
    return engine::lane_status(lane, core_.config, direct_trial_, pool_.ring_trial());
  }

 private:
  void prepare();
  bool open();
  static void wake_for_notifier();
  static bool prepare_file(FileQueue* queue);

  Core core_;
  FileTable files_;
  Contexts contexts_;
  NotSelfReaped not_self_reaped_;
  Notifier notifier_;
  Lists lists_{core_, notifier_};
  DirectLane direct_;
  DirectTrial direct_trial_;
  RingKeeper ring_keeper_;
  BlockDevices block_devices_;
  ServicePool pool_{core_, completion_, files_, direct_, notifier_, closing_};
  Reaper reaper_{core_, pool_, direct_, direct_trial_, block_devices_, notifier_, not_self_reaped_};
  Completion completion_{core_,  pool_,     direct_, reaper_,    notifier_,
                         contexts_, lists_, cancelling_, not_self_reaped_};
  Cancelling cancelling_{core_, completion_, pool_, files_, direct_};
  FileIdentity identity_{core_, files_, cancelling_, block_devices_, prepare_file};
  Closing closing_{core_, files_, pool_, direct_, block_devices_, cancelling_, identity_};
  Helping helping_{core_, completion_, pool_};
  const WaitingParts waiting_{core_, direct_, closing_};
  ContextLifetime context_lifetime_{core_, contexts_, files_, pool_, direct_, reaper_, cancelling_, helping_, waiting_};
  BufferedNative buffered_native_{core_, completion_, pool_, files_, helping_};
  Submitting submitting_{{core_, completion_, pool_, files_, identity_, closing_, direct_, direct_trial_,
                          block_devices_, reaper_, notifier_, contexts_, buffered_native_, not_self_reaped_}};
  NodeArena node_arena_;
  kernel::Mutex node_mu_;
};

}  // namespace aiox::engine
