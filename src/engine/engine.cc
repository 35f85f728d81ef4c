// engine.cc - makes the process's one engine, finds it again, and opens its parts.
//
// Owns the page through which the engine is found, which a child of fork sees as zeros. Thread: any; the engine is made
// under Root::start_mu. Blocks: get(), while another thread makes it.
// Never destroys the engine: its threads may run until the process ends.
#include "engine/engine.h"

#include <pthread.h>

#include <new>

#include "core/engine_scope.h"
#include "kernel/deadly_calls.h"
#include "kernel/memory.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {

// What a child of fork finds wiped.
struct Root {
  std::atomic<Engine*> engine;
  std::atomic<uint32_t> epoch;
  kernel::Mutex start_mu;
  Engine* unfinished;  // what a start that failed has got is kept for the next; guarded by start_mu
};

std::atomic<Root*> g_root{nullptr};

Root* get_root() {
  Root* root = g_root.load(std::memory_order_acquire);  // acquire, with the release below: a page that is mapped
  if (root != nullptr) return root;
  bool is_wiped = false;
  root = static_cast<Root*>(kernel::map_page_wiped_on_fork(&is_wiped));
  if (root == nullptr) return nullptr;
  Root* other = nullptr;
  // acq_rel: another thread's page, or this one for the others
  if (!g_root.compare_exchange_strong(other, root, std::memory_order_acq_rel)) {
    kernel::unmap_memory(root, kernel::page_size_bytes());
    return other;
  }
  if (!is_wiped) {
    // A kernel before 4.14 (or gVisor): forks by libc are still seen. New in place: the page as the kernel would leave
    // it. relaxed: the child has one thread
    pthread_atfork(nullptr, nullptr, [] { new (g_root.load(std::memory_order_relaxed)) Root(); });
  }
  return root;
}

}  // namespace

Engine* Engine::running() {
  // acquire, with get()'s release: the engine is made
  Root* root = g_root.load(std::memory_order_acquire);
  return root != nullptr ? root->engine.load(std::memory_order_acquire) : nullptr;
}

uint32_t current_epoch() {
  // acquire, with get()'s release: the epoch comes before its engine
  Root* root = g_root.load(std::memory_order_acquire);
  return root != nullptr ? root->epoch.load(std::memory_order_acquire) : 0;
}

Completion* Completion::running() {
  Engine* engine = Engine::running();
  return engine != nullptr ? &engine->completion() : nullptr;
}

Lists* Lists::running() {
  Engine* engine = Engine::running();
  return engine != nullptr ? &engine->lists() : nullptr;
}

Engine* Engine::get() {
  Engine* engine = running();
  if (engine != nullptr) [[likely]] return engine;
  Root* root = get_root();
  if (root == nullptr) return nullptr;
  EngineScope scope;
  MutexLock lock(root->start_mu);
  engine = root->engine.load(std::memory_order_acquire);  // acquire: as in running()
  if (engine != nullptr) return engine;
  if (root->unfinished == nullptr) {
    kernel::find_deadly_calls();
    void* memory = kernel::map_memory(sizeof(Engine));
    if (memory == nullptr) return nullptr;
    root->unfinished = new (memory) Engine();
    root->unfinished->prepare();
  }
  engine = root->unfinished;
  if (!engine->open()) return nullptr;
  root->unfinished = nullptr;
  uint32_t epoch = static_cast<uint32_t>(kernel::monotonic_now_ns() >> 10) | 1;
  // release, with running()'s and current_epoch()'s acquire: the engine is made
  root->epoch.store(epoch, std::memory_order_release);
  root->engine.store(engine, std::memory_order_release);
  if (engine->core_.config.is_verbose) say_lanes(engine->core_, engine->direct_trial_, engine->pool_.ring_trial());
  return engine;
}

// The part of starting that runs once, and cannot fail.
void Engine::prepare() {
  const Config& config = core_.config;
  stats::Recorder& recorder = core_.recorder;
  if (config.is_stats_on && recorder.open(config.stats_segment_id, config.stats_segment_key)) {
    core_.counters.recorder = &recorder;
  }
  notifier_.open(&core_.counters, config, wake_for_notifier);
  direct_trial_.open(&direct_.rings());
  block_devices_.open(&core_, &direct_);
  ring_keeper_.open(&core_, &direct_, &direct_trial_);
  core_.trims.add(core_.requests);
  core_.trims.add(core_.context_requests);
  core_.trims.add(core_.vector_stores);
  core_.trims.add(lists_);
  core_.trims.add(pool_);
  core_.trims.add(direct_);
}

// What takes memory. May be called again when it has failed: what has been got is there.
bool Engine::open() {
  NodeArena::current = &node_arena_;
  return reaper_.open() && direct_.open(&core_, &completion_, &direct_trial_, &ring_keeper_) &&
         core_.requests.open(core_.config.queue_max) && lists_.open() && files_.open() && pool_.open();
}

void Engine::wake_for_notifier() {
  Engine* engine = running();
  if (engine == nullptr) return;
  engine->pool_.wake_one_each();
  // It tries again from time to time, also while the workers are asleep in their rings.
  engine->reaper_.ensure();
  engine->core_.reaper_bell.wake(engine->core_.wait_slots);
}

bool Engine::prepare_file(FileQueue* queue) {
  Engine* engine = running();
  queue->count_waiting_in(engine->core_.recorder.waiting());
  if (queue->has_ready_nodes) return true;
  MutexLock lock(engine->node_mu_);
  if (!engine->pool_.reserve_nodes(&engine->node_arena_, queue)) return false;
  if (!engine->node_arena_.ensure(ReadyQueue::kNodeBytes)) return false;
  engine->reaper_.reserve_node();
  queue->has_ready_nodes = true;
  return true;
}

}  // namespace aiox::engine
