// context.cc - contexts of native AIO: how the program takes their events, and the lock-free table that finds them.
//
// Owns the table, and the memory of all contexts. Thread: any; contexts are made and ended under mu_. Blocks: no.
// Never gives a context's memory back: a look-up that comes too late finds a dead context, not another object.
#include "native/context.h"

#include <cerrno>

#include "core/engine_scope.h"
#include "kernel/memory.h"

namespace aiox::engine {

using kernel::MutexLock;

namespace {
// A slot that was used and is free again: a search goes on behind it.
Context* const kRemoved = reinterpret_cast<Context*>(8);
}  // namespace

// ---- Context ----

void Context::add_waiter(uint32_t slot, uint32_t wanted_events) {
  uint64_t now = waiters_.load(std::memory_order_relaxed);  // relaxed: the exchange checks it
  uint64_t next;
  do {
    const uint64_t count = now >> kCountShift & kCountMask;
    next = count == 0 ? make_waiters(wanted_events, 1, slot) : make_waiters(0, count + 1, kEveryoneWaits);
  } while (!waiters_.compare_exchange_weak(now, next, std::memory_order_seq_cst));  // E-wait
}

void Context::remove_waiter() {
  uint64_t now = waiters_.load(std::memory_order_relaxed);  // relaxed: the exchange checks it
  uint64_t next;
  do {
    const uint64_t count = now >> kCountShift & kCountMask;
    next = count <= 1 ? 0 : make_waiters(0, count - 1, kEveryoneWaits);
  } while (!waiters_.compare_exchange_weak(now, next, std::memory_order_seq_cst));  // E-wait
}

void Context::add_poll(Request* request) {
  MutexLock lock(poll_mu_);
  polls_.push_back(request);
}

void Context::remove_poll(Request* request) {
  MutexLock lock(poll_mu_);
  polls_.remove(request);
}

bool Context::cancel_polls(const void* control_block, bool (*cancel)(DirectLane& lane, Request* request),
                           DirectLane& lane) {
  MutexLock lock(poll_mu_);  // none of them can be given back meanwhile
  bool is_any = false;
  for (Request* request = polls_.front(); request != nullptr; request = polls_.next(request)) {
    if (control_block == nullptr || request->origin.control_block == control_block)
      is_any = cancel(lane, request) || is_any;
    if (is_any && control_block != nullptr) break;
  }
  return is_any;
}

void Context::note_call(bool is_wait) {
  ConsumptionMode now = consumption_mode();
  ConsumptionMode next = is_wait ? ConsumptionMode::kCalls : ConsumptionMode::kPolls;
  if (now == next) [[likely]] return;
  // A program that reads the ring may well call now and then; it has to call often until it is believed.
  uint32_t left = calls_to_forget_.load(std::memory_order_relaxed);  // relaxed: a figure
  if (now == ConsumptionMode::kReads && left > 0) {
    calls_to_forget_.store(left - 1, std::memory_order_relaxed);
    return;
  }
  consumption_mode_.store(next, std::memory_order_relaxed);  // relaxed: a hint
}

void Context::note_read() {
  consumption_mode_.store(ConsumptionMode::kReads, std::memory_order_relaxed);  // relaxed: figures
  calls_to_forget_.store(kCallsToForget, std::memory_order_relaxed);
}

// ---- Contexts ----

uint32_t Contexts::first_slot(uintptr_t address) {
  return static_cast<uint32_t>((address >> 12) * 0x9e3779b97f4a7c15u >> 40) & (kSlotCount - 1);
}

bool Contexts::open() {
  if (slots_.load(std::memory_order_relaxed) != nullptr) return true;  // relaxed: under the lock
  auto* slots = static_cast<Slot*>(kernel::map_memory(kSlotCount * sizeof(Slot)));
  if (slots == nullptr) return false;
  if (!contexts_.open(kContextsMax)) {
    kernel::unmap_memory(slots, kSlotCount * sizeof(Slot));
    return false;
  }
  slots_.store(slots, std::memory_order_release);  // E-context
  return true;
}

void Contexts::insert(Context* context, uintptr_t address) {
  Slot* slots = slots_.load(std::memory_order_relaxed);  // relaxed: under the lock
  uint32_t i = first_slot(address);
  for (;; i = next_slot(i)) {
    Context* there = slots[i].load(std::memory_order_relaxed);  // relaxed: under the lock
    if (there == kRemoved) removed_count_--;
    if (there == nullptr || there == kRemoved) break;
  }
  context->key_.store(address, std::memory_order_seq_cst);
  slots[i].store(context, std::memory_order_release);  // E-context
}

void Contexts::remove(Context* context) {
  Slot* slots = slots_.load(std::memory_order_relaxed);  // relaxed: under the lock
  const uintptr_t address = context->key_.load(std::memory_order_relaxed);  // relaxed: under the lock
  if (address == 0) return;
  uint32_t i = first_slot(address);
  while (slots[i].load(std::memory_order_relaxed) != context) i = next_slot(i);
  context->key_.store(0, std::memory_order_seq_cst);  // E-context
  slots[i].store(kRemoved, std::memory_order_release);
  removed_count_++;
  // Where the search ends anyway, nothing need be kept for it. relaxed: under the lock; E-context
  while (slots[next_slot(i)].load(std::memory_order_relaxed) == nullptr &&
         slots[i].load(std::memory_order_relaxed) == kRemoved) {
    slots[i].store(nullptr, std::memory_order_release);
    removed_count_--;
    i = (i - 1) & (kSlotCount - 1);
  }
  if (removed_count_ > kRemovedMax) put_in_order();
}

// Without the marks, which would fill the table up in time, so that a search would find no end. Who searches meanwhile
// may miss one that is there, and looks again under the lock.
void Contexts::put_in_order() {
  Slot* slots = slots_.load(std::memory_order_relaxed);  // relaxed: under the lock
  for (uint32_t i = 0; i < kSlotCount; i++) slots[i].store(nullptr, std::memory_order_relaxed);  // relaxed: as said
  removed_count_ = 0;
  Context* context = contexts_.at(0);
  for (uint32_t i = 0; context != nullptr; context = contexts_.at(++i)) {
    const uintptr_t address = context->key_.load(std::memory_order_relaxed);  // relaxed: under the lock
    if (address != 0) insert(context, address);
  }
}

int Contexts::create(uint32_t events, uint32_t events_max, uintptr_t* address) {
  MutexLock lock(mu_);
  if (promised_ + events > events_max) return -EAGAIN;
  if (!open()) return -ENOMEM;
  Context* context = contexts_.allocate();
  if (context == nullptr) return -EAGAIN;
  context->generation_++;
  const uint32_t id = contexts_.index_of(context) | context->generation_ << kIdBits;
  if (!context->ring.open(events, id)) {
    contexts_.free(context);
    return -ENOMEM;
  }
  context->id_ = id;
  context->promised_ = events;
  promised_ += events;
  context->consumption_mode_.store(Context::ConsumptionMode::kUnknown,
                                   std::memory_order_relaxed);  // relaxed: not in the table yet, and so below
  context->parked_file.store(nullptr, std::memory_order_relaxed);
  context->drain_slot_.store(WaitSlots::kNone, std::memory_order_relaxed);
  context->is_waiter_in_lane_.store(false, std::memory_order_relaxed);
  context->waiters_.store(0, std::memory_order_relaxed);  // relaxed: as above
  context->pages.reset();
  context->is_dead_.store(false, std::memory_order_relaxed);
  *address = context->ring.address();
  if (Context* moved = find(*address)) unlist(moved);
  insert(context, *address);
  return 0;
}

Context* Contexts::enter(uintptr_t address, WaitSlots& wait_slots) {
  Slot* slots = slots_.load(std::memory_order_acquire);  // E-context
  if (slots == nullptr || address == 0) return nullptr;
  for (uint32_t i = first_slot(address);; i = next_slot(i)) {
    Context* context = slots[i].load(std::memory_order_acquire);  // E-context
    if (context == nullptr) break;
    if (context == kRemoved || context->key_.load(std::memory_order_acquire) != address) continue;
    // E-users: count first, then look again: the thread that takes it off the table waits for all that are counted.
    context->add_user();
    // Another's ring may have been moved to where this one's was, before either was used again.
    const bool is_known = context->key_.load(std::memory_order_seq_cst) == address;
    if (is_known && CompletionRing::id_at(address) == context->id_) return context;
    context->remove_user(wait_slots);
    break;
  }
  return enter_slowly(address);
}

Context* Contexts::enter_slowly(uintptr_t address) {
  if (is_in_scope()) return nullptr;  // a handler has interrupted aiox itself, perhaps under the lock
  EngineScope scope;
  uint32_t id;
  const bool is_ring = CompletionRing::is_ring_at(address, &id);
  MutexLock lock(mu_);
  Context* context = find(address);
  if (context != nullptr && is_ring && context->id_ != id) {
    unlist(context);
    context = nullptr;
  }
  if (context == nullptr && is_ring) context = find_moved(address, id);
  if (context != nullptr) context->add_user();
  return context;
}

// Its ring has been moved away, and is found by its id when it is used where it is now.
void Contexts::unlist(Context* context) {
  remove(context);
  context->ring.set_address(0);
}

Context* Contexts::find(uintptr_t address) {
  const Slot* slots = slots_.load(std::memory_order_relaxed);  // relaxed: under the lock, and so below
  for (uint32_t i = first_slot(address);; i = next_slot(i)) {
    Context* context = slots[i].load(std::memory_order_relaxed);
    if (context == nullptr) return nullptr;
    // relaxed: under the lock
    if (context != kRemoved && context->key_.load(std::memory_order_relaxed) == address) return context;
  }
}

// A program may move the mapping of its ring (mremap) and use the new address, as with the kernel's.
Context* Contexts::find_moved(uintptr_t address, uint32_t id) {
  Context* context = contexts_.at(id & ((1u << kIdBits) - 1));
  if (context == nullptr || context->is_dead() || context->generation_ << kIdBits >> kIdBits != id >> kIdBits)
    return nullptr;
  uint32_t still_there;
  // Only if it is not where it was: a ring at another address may be a copy.
  if (CompletionRing::is_ring_at(context->ring.address(), &still_there) && still_there == id) return nullptr;
  remove(context);
  context->ring.set_address(address);
  insert(context, address);
  return context;
}

bool Contexts::begin_destroy(Context* context) {
  MutexLock lock(mu_);
  if (context->is_dead()) return false;
  remove(context);
  promised_ -= context->promised_;
  context->is_dead_.store(true, std::memory_order_seq_cst);  // E-users, E-wait
  return true;
}

void Contexts::destroy(Context* context) {
  context->ring.close();
  context->users_.fetch_sub(1, std::memory_order_seq_cst);  // E-users
  contexts_.free(context);
}

}  // namespace aiox::engine
