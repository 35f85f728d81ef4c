// service_pool.cc - who is told of new work: a worker, the reaper where the caller may start none, or this thread.
//
// Owns the services, their workers and their merged I/O. Thread: any. Blocks: no, except where no thread can be had
// (help_in_this_thread).
#include "workers/service_pool.h"

#include "kernel/own_table.h"

namespace aiox::engine {

bool ServicePool::open() {
  const Config& config = core_.config;
  return merged_ios_.open(1024) && workers_.open(2 * config.workers_max + config.queue_max) &&
         at(ServiceId::kRing).open(this, ServiceId::kRing, RingTrial::rings_max(config)) &&
         at(ServiceId::kThreads).open(this, ServiceId::kThreads, config.workers_max) &&
         at(ServiceId::kStreams).open(this, ServiceId::kStreams, config.queue_max);
}

bool ServicePool::reserve_nodes(NodeArena* arena, FileQueue* file) {
  for (Service& service : services_) {
    if (!arena->ensure(ReadyQueue::kNodeBytes)) return false;
    service.reserve_node();
    file->bind_share(service.id(), service.share());
  }
  return true;
}

void ServicePool::wake_one_each() {
  for (Service& service : services_) service.wake_one();
}

// Asks the reaper to start a worker of that service, or to serve in its place. fd: any that is open. False: there is no
// reaper, or it cannot be woken. Signal-safe: yes.
bool ServicePool::wake_reaper(unsigned service, int fd) {
  ReaperBell& bell = core_.reaper_bell;
  const uint32_t bit = 1u << service;
  bell.want_worker(bit);  // E-reaper
  bool is_told = bell.is_alive();
  if (is_told) bell.wake(core_.wait_slots);
  if (is_told && bell.is_in_ring()) is_told = direct_.wake_sleeper(fd);
  return is_told || bell.take_back(bit);
}

void ServicePool::schedule(FileQueue* file, ServiceMask mask, bool may_start_threads, Worker* by) {
  if (mask == 0 && file->is_detached()) [[unlikely]]
    files_.free_if_done(file);
  for (unsigned id = 0; mask != 0; id++, mask = static_cast<ServiceMask>(mask >> 1)) {
    if ((mask & 1) == 0) continue;
    if (by != nullptr && by->service() == &services_[id]) {
      services_[id].push(file);
      continue;
    }
    if (services_[id].schedule(file, may_start_threads)) continue;
    // Without a reaper it is left to a worker that is in a call: better late than this thread in a stranger's call.
    if (!may_start_threads && (wake_reaper(id, file->opened().fd()) || services_[id].has_worker())) continue;
    help_in_this_thread(id, may_start_threads);
  }
}

// No thread can be had (RLIMIT_NPROC, cgroup pids, memory): the last resort is the plain call, here.
// is_last_resort: a thread was asked for and could not be had.
void ServicePool::help_in_this_thread(unsigned service, bool is_last_resort) {
  if (kernel::has_own_table()) return;  // numbers mean other files here: the next thread finds it in the ready queue
  Worker worker;
  worker.open(&services_[service]);
  worker.help_in_caller(is_last_resort);
}

void ServicePool::ensure_worker(unsigned service) {
  if (!services_[service].wake_worker()) help_in_this_thread(service, true);
}

}  // namespace aiox::engine
