// file_queue_test.cc - the ordering domain alone: what may run when, with nobody running it.
//
// Requests are made, queued, taken and finished by hand, so every order can be forced and nothing depends on timing.

#include "files/file_queue.h"

#include <fcntl.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "catch.h"

using namespace aiox;
using namespace aiox::engine;
using backend::Io;
using backend::Opcode;

namespace {

constexpr int kFd = 7;

class Bench {
 public:
  explicit Bench(kernel::FileKind kind = kernel::FileKind::kRegular) : kind_(kind) {
    REQUIRE(shared_.open(64));
    kernel::FileTraits traits;
    traits.kind = kind;
    traits.status_flags = O_RDWR;
    traits.knows_nowait = true;
    queue_.attach(kFd, traits, false);
  }

  Request* add(Opcode opcode, int64_t offset, size_t length, SerialId serial = SerialId::kNone,
               ServiceId service = ServiceId::kThreads) {
    bool has_range = !backend::is_sync(opcode) && kernel::is_seekable(kind_);
    return submit(opcode, offset, length, serial, service, has_range);
  }
  Request* add_read(int64_t offset, size_t length) { return add(Opcode::kRead, offset, length); }
  Request* add_direct_write(int64_t offset, size_t length) { return add(Opcode::kWrite, offset, length); }
  Request* add_buffered_write(int64_t offset, size_t length) {
    return add(Opcode::kWrite, offset, length, SerialId::kWrites);
  }
  Request* add_append(size_t length, uint64_t file_end = 0) {
    return submit(Opcode::kWrite, 0, length, SerialId::kWrites, ServiceId::kThreads, false, file_end);
  }
  // A write that makes a file longer, which ended at `file_end` when it was submitted.
  Request* add_extending_write(int64_t offset, size_t length, uint64_t file_end, SerialId serial) {
    return submit(Opcode::kWrite, offset, length, serial, ServiceId::kThreads, true, file_end);
  }
  Request* add_sync(Opcode opcode = Opcode::kSync) { return add(opcode, 0, 0); }

  // Everything that may run now, as units.
  std::vector<Io*> take_all(ServiceId service = ServiceId::kThreads) {
    std::vector<Io*> units;
    bool more = true;
    while (more) {
      Io* unit[1];
      if (queue_.take(service, nullptr, shared_, unit, 1, &more) == 0) break;
      units.push_back(unit[0]);
    }
    return units;
  }

  // What a worker does at the end of a request.
  void release(Request* request) {
    change_state(request, RequestState::kInFlight, RequestState::kDone);
    request->is_published.store(1);
    CancelTicket* ticket = nullptr;
    woken_ = static_cast<ServiceMask>(woken_ | queue_.release(request, &ticket));
  }

  FileQueue& queue() { return queue_; }
  ServiceMask woken() const { return woken_; }

 private:
  Request* submit(Opcode opcode, int64_t offset, size_t length, SerialId serial, ServiceId service, bool has_range,
                  uint64_t file_end = RequestRange::kNoExtension) {
    Request& request = requests_.emplace_back();
    request.io.opcode = opcode;
    request.io.file_kind = kind_;
    request.io.fd = kFd;
    request.io.offset = offset;
    request.io.single = {nullptr, length};
    request.io.left_bytes = length;
    request.io.vector_count = 1;
    request.io.vectors = &request.io.single;
    request.io.vector_count = 1;
    request.work.service = service;
    request.queued.serial = serial;
    request.range.is_tracked = has_range;
    request.range.extends_from = file_end;
    request.range.begin = static_cast<uint64_t>(offset);
    request.range.bytes = length;
    request.origin.control_block = &request;
    request.queued.file.store(&queue_);
    request.generation.store(1);
    change_state(&request, RequestState::kFree, RequestState::kPrepared);
    ServiceMask wake = 0;
    REQUIRE(queue_.enqueue(&request, FileQueue::Start::kWorker, &wake) != FileQueue::Enqueued::kStale);
    woken_ = static_cast<ServiceMask>(woken_ | wake);
    return &request;
  }

  kernel::FileKind kind_;
  std::deque<Request> requests_;  // outlive the queue that has them
  FileQueue queue_;
  Pool<MergedIo> shared_;
  ServiceMask woken_ = 0;
};

bool is_among(const std::vector<Io*>& units, const Request* request) {
  return std::find(units.begin(), units.end(), &request->io) != units.end();
}

MergedIo* as_shared(Io* io) {
  REQUIRE(io->is_shared);
  return reinterpret_cast<MergedIo*>(io);  // io is its first member
}

}  // namespace

TEST_CASE("a read may overtake writes of other bytes, and an append where it ends within the file") {
  Bench bench;
  bench.add_read(0, 4096);
  CHECK(bench.queue().may_overtake_writes(0, 4096));
  Request* write = bench.add_buffered_write(8192, 4096);
  CHECK(bench.queue().may_overtake_writes(0, 8192));
  CHECK(bench.queue().may_overtake_writes(12288, 4096));
  CHECK_FALSE(bench.queue().may_overtake_writes(0, 8193));
  CHECK_FALSE(bench.queue().may_overtake_writes(12287, 1));
  bench.take_all();
  CHECK_FALSE(bench.queue().may_overtake_writes(8192, 1));
  bench.release(write);
  CHECK(bench.queue().may_overtake_writes(8192, 1));
  bench.add_append(1, 65536);
  CHECK_FALSE(bench.queue().may_overtake_writes(1 << 30, 1));
  CHECK_FALSE(bench.queue().may_overtake_writes(65535, 2));
  CHECK(bench.queue().may_overtake_writes(65535, 1));
}

TEST_CASE("a read beyond the end of the file waits for the appends and extending writes before it, and others do not") {
  for (const SerialId serial : {SerialId::kWrites, SerialId::kNone}) {
    for (const bool is_append : {true, false}) {
      if (is_append && serial == SerialId::kNone) continue;
      Bench bench;
      Request* write = is_append ? bench.add_append(512, 4096) : bench.add_extending_write(8192, 512, 4096, serial);
      Request* within = bench.add_read(0, 4096);
      Request* beyond = bench.add_read(4000, 97);
      Request* gap = bench.add_read(6000, 10);
      auto units = bench.take_all();
      CHECK(is_among(units, write));
      CHECK(is_among(units, within));
      CHECK_FALSE(is_among(units, beyond));
      CHECK_FALSE(is_among(units, gap));
      bench.release(within);
      CHECK(bench.take_all().empty());
      bench.release(write);
      CHECK(bench.take_all().size() == 2);
    }
  }
}

TEST_CASE("an append and an extending write wait for the reads before them that reach beyond the end") {
  Bench bench;
  Request* beyond = bench.add_read(4090, 10);
  Request* append = bench.add_append(512, 4096);
  Request* extending = bench.add_extending_write(8192, 512, 4096, SerialId::kNone);
  auto units = bench.take_all();
  CHECK(units.size() == 1);
  CHECK(is_among(units, beyond));
  bench.release(beyond);
  units = bench.take_all();
  CHECK(is_among(units, append));
  CHECK_FALSE(is_among(units, extending));  // the append must land where the file ends without it
  bench.release(append);
  CHECK(bench.take_all().size() == 1);
}

TEST_CASE("what waits for another request of its bytes holds up nothing but what conflicts with it") {
  Bench bench;
  Request* first = bench.add_direct_write(0, 4096);
  Request* second = bench.add_direct_write(0, 4096);
  Request* far = bench.add_read(1 << 20, 4096);
  Request* third = bench.add_read(0, 512);
  Request* beside = bench.add_direct_write(8192, 4096);
  auto units = bench.take_all();
  CHECK(units.size() == 3);
  CHECK(is_among(units, far));
  CHECK(is_among(units, beside));
  bench.release(first);
  units = bench.take_all();
  CHECK(units.size() == 1);
  CHECK(is_among(units, second));
  bench.release(second);
  CHECK(is_among(bench.take_all(), third));
}

TEST_CASE("a request that waits is not overtaken by a later one of its bytes, whatever has ended") {
  Bench bench;
  Request* read = bench.add_read(0, 4096);
  Request* other = bench.add_read(65536, 4096);
  Request* write = bench.add_direct_write(0, 8192);  // waits for the read
  Request* later =
      bench.add_direct_write(4096, 4096);  // touches nothing that is admitted, and conflicts with the write
  CHECK(bench.take_all().size() == 2);
  bench.release(other);
  CHECK(bench.take_all().empty());
  bench.release(read);
  CHECK(is_among(bench.take_all(), write));
  bench.release(write);
  CHECK(is_among(bench.take_all(), later));
}

TEST_CASE("a merge has nothing of what its first member has moved before, and does not cross an append") {
  Bench bench;
  Request* running = bench.add_buffered_write(1 << 20, 4096);
  Request* first = bench.add_buffered_write(0, 4096);
  Request* next = bench.add_buffered_write(4096, 4096);
  first->io.done_bytes = 3000;
  Request* append = bench.add_append(10, 4096);
  Request* behind = bench.add_buffered_write(8192, 4096);
  CHECK(bench.take_all().size() == 1);
  bench.release(running);
  auto units = bench.take_all();
  REQUIRE(units.size() == 1);
  MergedIo* shared = as_shared(units[0]);
  CHECK(shared->io.done_bytes == 0);
  REQUIRE(shared->count == 2);
  CHECK(shared->members[1] == next);
  for (Request* member : {first, next}) bench.release(member);
  CHECK(is_among(bench.take_all(), append));
  bench.release(append);
  CHECK(is_among(bench.take_all(), behind));
}

TEST_CASE("a read does not look at any number of writes to overtake them") {
  Bench bench;
  for (unsigned i = 0; i < Ordering::kOvertakenMax; i++) bench.add_buffered_write(i * 4096, 4096);
  CHECK(bench.queue().may_overtake_writes(1 << 30, 4096));
  bench.add_read(0, 1);
  CHECK_FALSE(bench.queue().may_overtake_writes(1 << 30, 4096));
}

TEST_CASE("a file has one worker for certain, and more only while the share of all files lasts") {
  WorkerShare share;
  share.open(WorkerShare::kUnlimited, 3);
  Bench hung, other;
  hung.queue().bind_share(ServiceId::kRing, &share);
  hung.queue().bind_share(ServiceId::kThreads, &share);
  other.queue().bind_share(ServiceId::kThreads, &share);
  std::vector<Request*> waiting;
  for (int i = 0; i < 8; i++) waiting.push_back(hung.add_read(4096 * i, 4096));
  CHECK(hung.take_all().size() == 4);
  CHECK(share.overcommitted() == 3);
  Request* first = other.add_read(0, 4096);
  other.add_read(4096, 4096);
  CHECK(other.take_all().size() == 1);
  other.release(first);
  CHECK(other.take_all().size() == 1);
  // The end of its own lets the next begin.
  hung.release(waiting[0]);
  CHECK(hung.take_all().size() == 1);
  for (int i = 1; i < 5; i++) hung.release(waiting[i]);
  CHECK(hung.take_all().size() == 3);
  for (int i = 5; i < 8; i++) hung.release(waiting[i]);
  CHECK(share.overcommitted() == 0);
}

TEST_CASE("a file has no more in flight in a service than its bound, and gives it back where it is rerouted") {
  WorkerShare share;
  share.open(2, WorkerShare::kUnlimited);
  Bench bench;
  bench.queue().bind_share(ServiceId::kRing, &share);
  std::vector<Request*> reads;
  for (int i = 0; i < 3; i++) {
    reads.push_back(bench.add(Opcode::kRead, 4096 * i, 4096, SerialId::kNone, ServiceId::kRing));
  }
  CHECK(bench.take_all(ServiceId::kRing).size() == 2);
  CancelTicket* ticket = nullptr;
  ServiceMask wake = bench.queue().reroute(reads[0], ServiceId::kThreads, &ticket);
  CHECK(wake == (1u << static_cast<unsigned>(ServiceId::kRing) | 1u << static_cast<unsigned>(ServiceId::kThreads)));
  CHECK(bench.take_all(ServiceId::kRing).size() == 1);
  CHECK(bench.take_all(ServiceId::kThreads).size() == 1);
  for (Request* read : reads) bench.release(read);
}

TEST_CASE("reads of one file run side by side, overlapping or not") {
  Bench bench;
  bench.add_read(0, 4096);
  bench.add_read(0, 4096);
  bench.add_read(8192, 4096);
  CHECK(bench.take_all().size() == 3);
}

TEST_CASE("writes that do not overlap run side by side") {
  Bench bench;
  bench.add_direct_write(0, 4096);
  bench.add_direct_write(4096, 4096);
  CHECK(bench.take_all().size() == 2);
}

TEST_CASE("a read waits for an earlier write of the same bytes and goes on when it has ended") {
  Bench bench;
  Request* write = bench.add_direct_write(4096, 4096);
  Request* read = bench.add_read(8191, 1);
  std::vector<Io*> units = bench.take_all();
  CHECK(is_among(units, write));
  CHECK_FALSE(is_among(units, read));
  bench.release(write);
  CHECK(is_among(bench.take_all(), read));
}

TEST_CASE("a write waits for an earlier read of the same bytes") {
  Bench bench;
  Request* read = bench.add_read(0, 100);
  Request* write = bench.add_direct_write(99, 1);
  CHECK(bench.take_all().size() == 1);
  bench.release(read);
  CHECK(is_among(bench.take_all(), write));
}

TEST_CASE("ranges that only touch do not wait for one another") {
  Bench bench;
  bench.add_direct_write(0, 100);
  bench.add_read(100, 100);
  bench.add_direct_write(200, 100);
  CHECK(bench.take_all().size() == 3);
}

TEST_CASE("an offset near the end of the number range does not wrap around") {
  Bench bench;
  bench.add_direct_write(INT64_MAX - 10, 4096);
  bench.add_read(0, 4096);
  CHECK(bench.take_all().size() == 2);
}

TEST_CASE("an fsync starts when all before it have ended, and nothing behind it waits") {
  Bench bench;
  Request* before = bench.add_direct_write(0, 100);
  Request* sync = bench.add_sync();
  Request* after = bench.add_direct_write(200, 100);
  std::vector<Io*> units = bench.take_all();
  CHECK(is_among(units, before));
  CHECK(is_among(units, after));
  CHECK_FALSE(is_among(units, sync));
  bench.release(before);
  CHECK(is_among(bench.take_all(), sync));
}

TEST_CASE("an fsync on an idle file starts at once") {
  Bench bench;
  Request* sync = bench.add_sync();
  CHECK(is_among(bench.take_all(), sync));
}

TEST_CASE("an fsync waits for a request that itself still waits") {
  Bench bench;
  Request* first = bench.add_direct_write(0, 100);
  Request* second = bench.add_direct_write(0, 100);
  Request* sync = bench.add_sync();
  bench.take_all();
  bench.release(first);
  std::vector<Io*> units = bench.take_all();
  CHECK(is_among(units, second));
  CHECK_FALSE(is_among(units, sync));
  bench.release(second);
  CHECK(is_among(bench.take_all(), sync));
}

TEST_CASE("fsyncs that wait together are carried out as one, and an O_DSYNC joins an O_SYNC but not the reverse") {
  Bench bench;
  Request* write = bench.add_direct_write(0, 100);
  bench.add_sync(Opcode::kSync);
  bench.add_sync(Opcode::kDataSync);
  bench.add_sync(Opcode::kSync);
  bench.take_all();
  bench.release(write);
  std::vector<Io*> units = bench.take_all();
  REQUIRE(units.size() == 1);
  CHECK(as_shared(units[0])->count == 3);

  Bench other;
  write = other.add_direct_write(0, 100);
  Request* data_sync = other.add_sync(Opcode::kDataSync);
  other.add_sync(Opcode::kSync);
  other.take_all();
  other.release(write);
  units = other.take_all();
  REQUIRE(units.size() == 1);
  CHECK(is_among(units, data_sync));
}

TEST_CASE("buffered writes run one at a time, and those that continue one another go out as one") {
  Bench bench;
  Request* first = bench.add_buffered_write(0, 100);
  REQUIRE(bench.take_all().size() == 1);
  bench.add_buffered_write(1000, 50);
  bench.add_buffered_write(5000, 10);
  bench.add_buffered_write(1050, 50);
  CHECK(bench.take_all().empty());
  bench.release(first);
  std::vector<Io*> units = bench.take_all();
  REQUIRE(units.size() == 1);
  MergedIo* merged = as_shared(units[0]);
  CHECK(merged->count == 2);
  CHECK(merged->io.offset == 1000);
  CHECK(merged->vectors[0].iov_len + merged->vectors[1].iov_len == 100);
}

TEST_CASE("a merge stops before it grows past its bound") {
  Bench bench;
  Request* first = bench.add_buffered_write(0, 1);
  REQUIRE(bench.take_all().size() == 1);
  const size_t half = kMergedBytesMax / 2;
  bench.add_buffered_write(1000, half);
  bench.add_buffered_write(static_cast<int64_t>(1000 + half), half);
  bench.add_buffered_write(static_cast<int64_t>(1000 + 2 * half), 1);
  bench.release(first);
  std::vector<Io*> units = bench.take_all();
  REQUIRE(units.size() == 1);
  CHECK(as_shared(units[0])->count == 2);
}

TEST_CASE("appends keep their order whether merged or not") {
  Bench bench;
  Request* first = bench.add_append(10);
  REQUIRE(bench.take_all().size() == 1);
  Request* second = bench.add_append(20);
  Request* third = bench.add_append(30);
  CHECK(bench.take_all().empty());
  bench.release(first);
  std::vector<Io*> units = bench.take_all();
  REQUIRE(units.size() == 1);
  MergedIo* merged = as_shared(units[0]);
  REQUIRE(merged->count == 2);
  CHECK(merged->members[0] == second);
  CHECK(merged->members[1] == third);
}

TEST_CASE("a stream's reads run one at a time and hold up no write") {
  Bench bench(kernel::FileKind::kSocket);
  Request* first = bench.add(Opcode::kRead, 0, 1, SerialId::kStreamRead, ServiceId::kStreams);
  bench.add(Opcode::kRead, 0, 1, SerialId::kStreamRead, ServiceId::kStreams);
  Request* write = bench.add(Opcode::kWrite, 0, 1, SerialId::kStreamWrite, ServiceId::kStreams);
  std::vector<Io*> units = bench.take_all(ServiceId::kStreams);
  CHECK(units.size() == 2);
  CHECK(is_among(units, first));
  CHECK(is_among(units, write));
}

TEST_CASE("no more than the bound are admitted, and the rest follow as those end") {
  Bench bench;
  std::vector<Request*> reads;
  for (uint32_t i = 0; i < Ordering::kAdmittedMax + 10; i++) reads.push_back(bench.add_read(i * 4096, 4096));
  CHECK(bench.take_all().size() == Ordering::kAdmittedMax);
  for (int i = 0; i < 10; i++) bench.release(reads[static_cast<size_t>(i)]);
  CHECK(bench.take_all().size() == 10);
}

TEST_CASE("cancel takes what has not begun, and what stood behind it goes on") {
  Bench bench;
  Request* running = bench.add_direct_write(0, 100);
  bench.take_all();
  Request* waiting = bench.add_direct_write(0, 100);
  Request* behind = bench.add_read(50, 1000);
  CancelSweep sweep;
  ServiceMask wake = 0;
  bench.queue().cancel(CancelMatch{true, nullptr, waiting}, &sweep, &wake);
  CHECK(sweep.cancelled.pop_front() == waiting);
  CHECK(sweep.cancelled.empty());
  bench.queue().release_cancelled(waiting);
  CHECK(sweep.running_count == 0);
  CHECK(bench.take_all().empty());  // `behind` still waits for `running`
  bench.release(running);
  CHECK(is_among(bench.take_all(), behind));
}

TEST_CASE("cancel of everything counts what is running and cannot be cancelled") {
  Bench bench;
  bench.add_direct_write(0, 100);
  bench.take_all();
  bench.add_direct_write(0, 100);
  bench.add_sync();
  CancelSweep sweep;
  ServiceMask wake = 0;
  bench.queue().cancel(CancelMatch{true, nullptr, nullptr}, &sweep, &wake);
  int cancelled = 0;
  while (sweep.cancelled.pop_front() != nullptr) cancelled++;
  CHECK(cancelled == 2);
  CHECK(sweep.running_count == 1);
}

TEST_CASE("what was partly carried out and stands in the queue again is not cancelled") {
  Bench bench;
  Request* write = bench.add_direct_write(0, 100);
  Request* untouched = bench.add_direct_write(4096, 100);
  for (Request* request : {write, untouched}) request->work.has_begun = request == write;
  CancelSweep sweep;
  ServiceMask wake = 0;
  bench.queue().cancel(CancelMatch{true, nullptr, nullptr}, &sweep, &wake);
  CHECK(sweep.cancelled.pop_front() == untouched);
  CHECK(sweep.cancelled.empty());
  CHECK(sweep.running_count == 1);
  bench.queue().release_cancelled(untouched);
  CHECK(is_among(bench.take_all(), write));
}

TEST_CASE("a cancelled barrier lets the next one through") {
  Bench bench;
  Request* write = bench.add_direct_write(0, 100);
  bench.take_all();
  Request* first = bench.add_sync(Opcode::kDataSync);
  Request* second = bench.add_sync(Opcode::kSync);
  bench.release(write);  // makes the first runnable
  CancelSweep sweep;
  ServiceMask wake = 0;
  bench.queue().cancel(CancelMatch{true, nullptr, first}, &sweep, &wake);
  CHECK(sweep.cancelled.pop_front() == first);
  CHECK(bench.take_all().empty());  // not before the first has been published
  bench.queue().release_cancelled(first);
  CHECK(is_among(bench.take_all(), second));
}

TEST_CASE("a waiting thread can claim what nobody has begun, and only that") {
  Bench bench;
  Request* first = bench.add_direct_write(0, 100);
  Request* blocked = bench.add_read(0, 100);
  CHECK_FALSE(bench.queue().try_take(blocked, 1));
  CHECK_FALSE(bench.queue().try_take(first, 2));  // another generation: another request
  CHECK(bench.queue().try_take(first, 1));
  CHECK_FALSE(bench.queue().try_take(first, 1));
  CHECK(bench.take_all().empty());
  bench.release(first);
  CHECK(bench.queue().try_take(blocked, 1));
}

TEST_CASE("a detached queue takes nothing in, and is given back once, when it is empty") {
  Bench bench;
  Request* write = bench.add_direct_write(0, 100);
  bench.take_all();
  bench.queue().detach();
  Request late;
  late.io.fd = kFd;
  change_state(&late, RequestState::kFree, RequestState::kPrepared);
  ServiceMask wake = 0;
  CHECK(bench.queue().enqueue(&late, FileQueue::Start::kWorker, &wake) == FileQueue::Enqueued::kStale);
  CHECK_FALSE(bench.queue().try_finalize());
  bench.release(write);
  CHECK(bench.queue().try_finalize());
  CHECK_FALSE(bench.queue().try_finalize());
}

TEST_CASE("the queue asks for a worker once, until somebody has looked") {
  Request extra;  // outlives the queue that has it
  Bench bench;
  bench.add_read(0, 1);
  CHECK(bench.woken() == 1u << static_cast<unsigned>(ServiceId::kThreads));
  extra.io.fd = kFd;
  extra.io.single = {nullptr, 1};
  extra.io.left_bytes = 1;
  extra.range.is_tracked = true;
  change_state(&extra, RequestState::kFree, RequestState::kPrepared);
  ServiceMask wake = 0xff;
  REQUIRE(bench.queue().enqueue(&extra, FileQueue::Start::kWorker, &wake) == FileQueue::Enqueued::kQueued);
  CHECK(wake == 0);
}

TEST_CASE("has_outstanding_writes is true from the submission of a write to its end") {
  Bench bench;
  CHECK_FALSE(bench.queue().outstanding().has_writes());
  Request* write = bench.add_buffered_write(0, 1);
  CHECK(bench.queue().outstanding().has_writes());
  bench.take_all();
  bench.release(write);
  CHECK_FALSE(bench.queue().outstanding().has_writes());
}
