// engine.cc - makes the process's one engine, finds it again, and opens its parts.
//
// Owns the page through which the engine is found, which a child of fork sees as zeros. Thread: any; the engine is made
// under Root::start_mu. Blocks: get(), while another thread makes it.
// Never destroys the engine: its threads may run until the process ends.
#include "engine/engine.h"

#include <pthread.h>

#include <new>

#include "engine/inside.h"
#include "kernel/deadly_calls.h"
#include "kernel/memory.h"
#include "kernel/thread.h"

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
    // A kernel before 4.14 (or gVisor): forks by libc are still seen. New in place: the page as the kernel would leave it.
    // relaxed: the child has one thread
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

uint32_t Engine::current_epoch() {
  // acquire, with get()'s release: the epoch comes before its engine
  Root* root = g_root.load(std::memory_order_acquire);
  return root != nullptr ? root->epoch.load(std::memory_order_acquire) : 0;
}

Engine* Engine::get() {
  Engine* engine = running();
  if (engine != nullptr) [[likely]] return engine;
  Root* root = get_root();
  if (root == nullptr) return nullptr;
  Inside inside;
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
  if (engine->config.is_verbose) engine->say_lanes();
  return engine;
}

// The part of starting that runs once, and cannot fail.
void Engine::prepare() {
  if (config.is_stats_on && recorder.open(config.stats_segment_id, config.stats_segment_key)) counters.recorder = &recorder;
  notifier.open(&counters, config.notifiers_max, config.idle_timeout_ms);
  block_devices.open(this);
  stream_poller.open(this);
  ring_keeper.open(this);
}

// What takes memory. May be called again when it has failed: what has been got is there.
bool Engine::open() {
  NodeArena::current = &node_arena_;
  const uint32_t workers_max = config.workers_max;
  return reaper.open(this) && direct.open(this) && requests.open(config.queue_max) && groups.open(config.queue_max) && shared_ios.open(1024) &&
         workers.open(2 * workers_max + config.queue_max) && files.open() &&
         services[static_cast<unsigned>(ServiceId::kRing)].open(this, ServiceId::kRing, rings_max()) &&
         services[static_cast<unsigned>(ServiceId::kThreads)].open(this, ServiceId::kThreads, workers_max) &&
         services[static_cast<unsigned>(ServiceId::kStreams)].open(this, ServiceId::kStreams, config.queue_max);
}

bool Engine::start_thread(void* (*entry)(void*), void* argument, bool is_joinable) {
  counters.thread_starts();
  auto* start = is_joinable ? kernel::start_joinable_thread : kernel::start_thread;
  if (start(entry, argument, kernel::kEngineStackBytes) == 0) return true;
  counters.thread_did_not_start();
  return false;
}

void Engine::give_back_memory() {
  const uint64_t ended = counters.completed.read() + counters.cancelled.read();
  if (ended < counters.submitted.read()) return;
  requests.trim();
  if (is_open_for_contexts_.load(std::memory_order_acquire)) {  // acquire: the stores, as open_for_contexts opened them
    context_requests.trim();
    vector_stores.trim();
  }
  groups.trim();
  shared_ios.trim();
  direct.give_back_memory();
}

bool Engine::prepare_file(FileQueue* queue) {
  Engine* engine = running();
  queue->count_waiting_in(engine->recorder.waiting());
  if (queue->has_ready_nodes) return true;
  MutexLock lock(engine->node_mu_);
  for (Service& service : engine->services) {
    if (!engine->node_arena_.ensure(ReadyQueue::kNodeBytes)) return false;
    service.reserve_node();
    queue->bind_share(service.id(), service.share());
  }
  if (!engine->node_arena_.ensure(ReadyQueue::kNodeBytes)) return false;
  engine->reaper.reserve_node();
  queue->has_ready_nodes = true;
  return true;
}

}  // namespace aiox::engine
