// buffered_native_test.cc - a buffered write of a context has its bytes when the call returns: copied up to the bound,
// and written beyond it.

#include "engine/buffered_native.h"

#include <cstring>
#include <deque>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

struct Bench {
  explicit Bench(const char* copy_bytes = "2097152", const char* is_sync = "0")
      : rig(Rig::make({{"AIOX_BACKEND", "threads"},
                       {"AIOX_IDLE_MS", "60000"},
                       {"AIOX_NATIVE_COPY", copy_bytes},
                       {"AIOX_NATIVE_SYNC", is_sync}})),
        context(rig.make_context(64)),
        file(rig.file_of(scratch.fd())) {}
  ~Bench() { rig.destroy(context); }

  // A write that is not queued yet.
  Request* prepare(Told* told, void* buffer, size_t length) {
    return rig.prepare(told, file, Opcode::kWrite, buffer, length, 0, context);
  }
  bool must(Request* request) {
    return rig.buffered_native.must_complete_in_call(request, file, InlineOutcome::kNotForIt);
  }
  // Done with a request that was never queued.
  void drop(Request* request) {
    change_state(request, RequestState::kPrepared, RequestState::kDone);
    rig.completion.publish_and_notify(request, -ECANCELED, false);
    rig.completion.release_hold(request);
  }

  Scratch scratch{8192};
  Rig& rig;
  Context* context;
  FileQueue* file;
};

}  // namespace

TEST_CASE("a write of a context is copied, and the buffer is the program's again") {
  Bench bench;
  Told told;
  std::string text(5000, 'w');
  Request* request = bench.prepare(&told, text.data(), text.size());
  CHECK_FALSE(bench.must(request));
  CHECK(has_copy(request));
  text.assign(text.size(), '?');
  CHECK(content_of(request) == std::string(5000, 'w'));
  bench.drop(request);
}

TEST_CASE("beyond what one copy or all together may take, the write must end in the call") {
  Bench bench("262144");
  std::string text(CopyStores::kBytesMax + 1, 'w');
  Told told;
  Request* request = bench.prepare(&told, text.data(), text.size());
  CHECK(bench.must(request));
  CHECK_FALSE(has_copy(request));
  bench.drop(request);
  std::deque<Told> all(100);
  std::vector<Request*> copied;
  bool is_over = false;
  for (Told& one : all) {
    Request* next = bench.prepare(&one, text.data(), 4096);
    is_over = bench.must(next);
    copied.push_back(next);
    if (is_over) break;
  }
  CHECK(is_over);
  CHECK(copied.size() > 1);
  CHECK(copied.size() <= 1 + 262144 / 4096);
  for (Request* one : copied) bench.drop(one);
  Told again;
  request = bench.prepare(&again, text.data(), 4096);
  CHECK_FALSE(bench.must(request));  // what was given back is room again
  bench.drop(request);
}

TEST_CASE(
    "POSIX AIO's requests, fsyncs and streams are no such transfers, and a read is one where a write may come first") {
  Bench bench;
  char buffer[64] = {};
  Told told[5];
  BufferedNative& part = bench.rig.buffered_native;
  Request* posix = bench.rig.prepare(&told[0], bench.file, Opcode::kWrite, buffer, 64);
  CHECK_FALSE(part.must_complete_in_call(posix, bench.file, InlineOutcome::kNotForIt));
  CHECK_FALSE(has_copy(posix));
  bench.drop(posix);
  Request* sync = bench.rig.prepare(&told[1], bench.file, Opcode::kSync, nullptr, 0, 0, bench.context);
  CHECK_FALSE(part.must_complete_in_call(sync, bench.file, InlineOutcome::kNotForIt));
  bench.drop(sync);
  Ends ends;
  FileQueue* stream = bench.rig.file_of(ends.writing());
  Request* write = bench.rig.prepare(&told[2], stream, Opcode::kWrite, buffer, 64, 0, bench.context);
  CHECK_FALSE(part.must_complete_in_call(write, stream, InlineOutcome::kNotForIt));
  bench.drop(write);
  for (InlineOutcome outcome : {InlineOutcome::kNotTried, InlineOutcome::kMissed}) {
    Told one;
    Request* read = bench.rig.prepare(&one, bench.file, Opcode::kRead, buffer, 64, 0, bench.context);
    CHECK(part.must_complete_in_call(read, bench.file, outcome) == (outcome == InlineOutcome::kNotTried));
    bench.drop(read);
  }
}

TEST_CASE("with AIOX_NATIVE_SYNC=1 nothing is copied, and every such transfer ends in the call") {
  Bench bench("2097152", "1");
  Told told;
  std::string text(64, 'w');
  Request* request = bench.prepare(&told, text.data(), text.size());
  CHECK(bench.must(request));
  CHECK_FALSE(has_copy(request));
  CHECK(bench.rig.buffered_native.try_complete(request, bench.file));
  CHECK(told.result.load() == 64);
  CHECK(bench.scratch.read_at(0, 64) == text);
}

TEST_CASE("nothing is carried out in the call before what is outstanding") {
  Bench bench;
  Told running, told;
  char buffer[64] = {};
  std::string text(64, 'w');
  Request* read = bench.rig.begin(&running, bench.file, Opcode::kRead, buffer, 64);
  Request* request = bench.prepare(&told, text.data(), text.size());
  CHECK_FALSE(bench.rig.buffered_native.try_complete(request, bench.file));
  CHECK_FALSE(told.has_ended());
  bench.rig.completion.complete(read, 64);
  CHECK(bench.rig.buffered_native.try_complete(request, bench.file));
  CHECK(told.result.load() == 64);
  CHECK(told.ends.load() == 1);
}

TEST_CASE("who waits for a write that is queued comes back when it has ended, and gives its hold back") {
  Bench bench;
  Told told;
  std::string text(64, 'w');
  REQUIRE(bench.rig.reaper.ensure());
  Request* request = bench.rig.queue(&told, bench.file, Opcode::kWrite, text.data(), text.size(), 0, bench.context);
  hold(request);
  bench.rig.pool.schedule(bench.file, bench.file->unpark());
  const uint32_t users = bench.context->users();
  bench.rig.buffered_native.complete(request, bench.file);
  CHECK(told.has_ended());
  CHECK(told.result.load() == 64);
  await([&] { return bench.context->users() == users - 1; });  // the worker's own hold goes a moment later
}

TEST_CASE(
    "a program that uses its buffer again after each submission has written what it said, within the bound or not") {
  for (const char* bound : {"1048576", "131072"}) {
    INFO("bound " << bound);
    Bench bench(bound);
    constexpr size_t kLength = 4096, kCount = 40;
    std::deque<Told> told(kCount);
    std::string buffer(kLength, ' ');
    for (size_t i = 0; i < kCount; i++) {
      buffer.assign(kLength, static_cast<char>('a' + i % 23));
      REQUIRE(bench.rig.submit(&told[i], bench.scratch.fd(), Opcode::kWrite, buffer.data(), kLength,
                               static_cast<int64_t>(i * kLength), bench.context) == 0);
    }
    buffer.assign(kLength, '?');
    for (size_t i = 0; i < kCount; i++) {
      bench.rig.pool.schedule(bench.file, bench.file->unpark());
      REQUIRE(told[i].wait() == static_cast<int64_t>(kLength));
      REQUIRE(bench.scratch.read_at(i * kLength, kLength) == std::string(kLength, static_cast<char>('a' + i % 23)));
    }
  }
}

TEST_CASE("a file that is open twice is met as one: its writes end in the call") {
  Bench bench;
  const int twin = dup(bench.scratch.fd());
  REQUIRE(twin >= 0);
  FileQueue* other = bench.rig.file_of(twin);
  CHECK_FALSE(bench.file->siblings.has_any());
  CHECK(other->siblings.may_be_unmet());
  bench.rig.buffered_native.meet_siblings(other, twin);
  CHECK(bench.file->siblings.has_any());
  CHECK(other->siblings.has_any());
  CHECK_FALSE(other->siblings.may_be_unmet());
  Scratch stranger(64);
  FileQueue* third = bench.rig.file_of(stranger.fd());
  bench.rig.buffered_native.meet_siblings(third, stranger.fd());
  CHECK_FALSE(third->siblings.has_any());
  Told told;
  std::string text(64, 'w');
  Request* request = bench.prepare(&told, text.data(), text.size());
  CHECK(bench.must(request));
  bench.drop(request);
  close(twin);
}
