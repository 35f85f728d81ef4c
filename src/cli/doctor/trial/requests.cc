#include "cli/doctor/trial/requests.h"

#include <aio.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "aiox/aiox.h"
#include "cli/clock.h"

namespace aiox::cli::doctor {
namespace {

using Counters = ::aiox_counters;

constexpr unsigned kSettlingTries = 100;
constexpr useconds_t kSettlingNapUs = 500;

Counters counters() {
  Counters now{};
  now.size = sizeof now;
  ::aiox_get_counters(&now);
  return now;
}

std::uint64_t by_any_lane(const Counters& from, const Counters& to) {
  std::uint64_t total = 0;
  for (const stats::LaneRow& row : stats::kLaneTable) total += to.*row.completed - from.*row.completed;
  return total;
}

// A request is announced before it is counted.
Counters settled_counters(const Counters& before, unsigned count, bool has_failed) {
  Counters now = counters();
  for (unsigned i = 0; i < kSettlingTries && !has_failed && by_any_lane(before, now) < count; ++i) {
    ::usleep(kSettlingNapUs);
    now = counters();
  }
  return now;
}

int submit(const Request& request, aiocb* block) {
  std::memset(block, 0, sizeof *block);
  block->aio_fildes = request.fd;
  block->aio_buf = request.buffer;
  block->aio_nbytes = request.length_bytes;
  block->aio_offset = request.offset;
  block->aio_sigevent.sigev_notify = SIGEV_NONE;
  switch (request.action) {
    case Action::kRead: return ::aio_read(block);
    case Action::kWrite: return ::aio_write(block);
    case Action::kSync: return ::aio_fsync(O_SYNC, block);
  }
  return -1;
}

}  // namespace

void warm_up() {
  ::aiox_lane_info info{};
  info.size = sizeof info;
  for (unsigned lane = 0; lane < AIOX_LANE_COUNT; ++lane) ::aiox_get_lane(lane, &info);
}

Outcome carry_out(const std::vector<Request>& requests, const std::function<void()>& then) {
  Outcome outcome;
  outcome.count = static_cast<unsigned>(requests.size());
  std::vector<aiocb> blocks(requests.size());
  std::vector<const aiocb*> waited_for(requests.size(), nullptr);
  const auto note = [&outcome](int error) {
    if (outcome.error == 0) outcome.error = error;
  };
  const Counters before = counters();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::uint64_t begin = now_ns();
    const bool is_accepted = submit(requests[i], &blocks[i]) == 0;
    if (!is_accepted) note(errno);
    outcome.call_ns_max = std::max(outcome.call_ns_max, now_ns() - begin);
    if (is_accepted) waited_for[i] = &blocks[i];
  }
  if (then) then();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    while (waited_for[i] != nullptr && ::aio_error(&blocks[i]) == EINPROGRESS) {
      ::aio_suspend(waited_for.data(), static_cast<int>(waited_for.size()), nullptr);
      for (std::size_t j = i + 1; j < requests.size(); ++j) {
        if (waited_for[j] != nullptr && ::aio_error(&blocks[j]) != EINPROGRESS) waited_for[j] = nullptr;
      }
    }
    waited_for[i] = nullptr;
  }
  for (aiocb& block : blocks) {
    if (const int error = ::aio_error(&block); error > 0) note(error);
    ::aio_return(&block);
  }
  const Counters after = settled_counters(before, outcome.count, outcome.error != 0);
  for (const stats::LaneRow& row : stats::kLaneTable) {
    outcome.by_lane[static_cast<unsigned>(row.lane)] = after.*row.completed - before.*row.completed;
  }
  outcome.handed_on = after.direct_refused - before.direct_refused;
  return outcome;
}

}  // namespace aiox::cli::doctor
