// submitting_test.cc - the one way in: answered in the call, a request in its file's queue, or refused with nothing
// kept.

#include "engine/submitting.h"

#include <deque>

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

alignas(4096) char g_aligned[4 * 4096];

}  // namespace

TEST_CASE("a number without a file is told so in the call, and is no request") {
  Rig& rig = Rig::make();
  Told told;
  char byte = 0;
  CHECK(rig.submit(&told, 1 << 20, Opcode::kRead, &byte, 1) == 0);
  CHECK(told.result.load() == -EBADF);
  CHECK(told.ends.load() == 1);
  CHECK(told.token == 0);
  CHECK(rig.core.in_flight() == 0);
}

TEST_CASE("a cached read is answered in the call, without a request and without a thread") {
  Rig& rig = Rig::make();
  Scratch scratch(8192);
  if (!rig.file_of(scratch.fd())->opened().knows_nowait()) AIOX_SKIP("the file system knows no RWF_NOWAIT");
  Told told;
  char buffer[64] = {};
  CHECK(rig.submit(&told, scratch.fd(), Opcode::kRead, buffer, sizeof buffer, 100) == 0);
  CHECK(told.result.load() == 64);
  CHECK(told.token == 0);
  CHECK(buffer[0] == Scratch::byte_at(100));
  CHECK(rig.core.counters.completed_by(aiox::stats::Lane::kInline).read() == 1);
  CHECK(rig.threads_started() == 0);
  Told end;
  CHECK(rig.submit(&end, scratch.fd(), Opcode::kRead, buffer, sizeof buffer, 8192) == 0);
  CHECK(end.result.load() == 0);
}

TEST_CASE("what may wait becomes a request, and the call comes back") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Ends ends;
  Told told;
  char byte = 0;
  CHECK(rig.submit(&told, ends.reading(), Opcode::kRead, &byte, 1) == 0);
  CHECK(told.token != 0);
  CHECK_FALSE(told.has_ended());
  CHECK(rig.core.in_flight() == 1);
  ends.put("x");
  CHECK(told.wait() == 1);
  CHECK(byte == 'x');
}

TEST_CASE(
    "beyond the most requests at once a submission is refused and nothing of it is kept; then they are taken again") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_QUEUE_MAX", "2"}});
  Ends ends;
  std::deque<Told> told(3);
  char bytes[3] = {};
  CHECK(rig.submit(&told[0], ends.reading(), Opcode::kRead, &bytes[0], 1) == 0);
  CHECK(rig.submit(&told[1], ends.reading(), Opcode::kRead, &bytes[1], 1) == 0);
  CHECK(rig.submit(&told[2], ends.reading(), Opcode::kRead, &bytes[2], 1) == -EAGAIN);
  CHECK(told[2].token == 0);
  CHECK_FALSE(told[2].has_ended());
  CHECK(rig.core.counters.refused.read() == 1);
  CHECK(rig.core.in_flight() == 2);
  ends.put("a");
  CHECK(told[0].wait() == 1);
  // It is told before its object is back in the pool.
  await([&] { return rig.submit(&told[2], ends.reading(), Opcode::kRead, &bytes[2], 1) == 0; });
  ends.put("bc");
  CHECK(told[1].wait() == 1);
  CHECK(told[2].wait() == 1);
  CHECK(std::string(bytes, 3) == "abc");  // in the order in which they were submitted
}

TEST_CASE("a read sees a write that was submitted before it") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Scratch scratch(8192);
  for (int i = 0; i < 200; i++) {
    char out[64], in[64] = {};
    memset(out, 'A' + i % 26, sizeof out);
    Told write, read;
    REQUIRE(rig.submit(&write, scratch.fd(), Opcode::kWrite, out, sizeof out, 1000) == 0);
    REQUIRE(rig.submit(&read, scratch.fd(), Opcode::kRead, in, sizeof in, 1000) == 0);
    // Whoever waits may have to see to it that a worker is told.
    rig.helping.wake_workers(write.token);
    REQUIRE(write.wait() == 64);
    REQUIRE(read.wait() == 64);
    REQUIRE(memcmp(in, out, sizeof in) == 0);
  }
}

TEST_CASE("a context's poll of a file, and its offset on a socket, are refused as the kernel refuses them") {
  Rig& rig = Rig::make();
  Scratch scratch(64);
  Ends ends(Ends::Kind::kSockets);
  Told poll, read;
  Context* context = rig.make_context(4);
  CHECK(rig.submit(&poll, scratch.fd(), Opcode::kPoll, nullptr, 0, 0, context) == -EINVAL);
  CHECK_FALSE(poll.has_ended());
  char byte = 0;
  CHECK(rig.submit(&read, ends.reading(), Opcode::kRead, &byte, 1, 8, context) == 0);
  CHECK(read.result.load() == -ESPIPE);
  CHECK(rig.destroy(context) == 0);
}

TEST_CASE("requests of a batch are handed to the kernel when the batch is, and all of them") {
  Rig& rig = Rig::make();
  Scratch scratch(sizeof g_aligned, O_DIRECT);
  if (scratch.fd() < 0 || !rig.direct_trial.is_usable()) AIOX_SKIP("no direct lane");
  std::deque<Told> told(4);
  DirectBatch batch;
  for (size_t i = 0; i < told.size(); i++) {
    Submission submission = submission_of(&told[i], scratch.fd(), Opcode::kRead, g_aligned + i * 4096, 4096,
                                          static_cast<int64_t>(i * 4096));
    submission.batch = &batch;
    const EngineScope scope;
    REQUIRE(rig.submitting.submit(submission) == 0);
  }
  if (batch.count == 0) AIOX_SKIP("the file system takes no O_DIRECT by kernel AIO");
  CHECK(batch.count == 4);
  for (const Told& one : told) CHECK_FALSE(one.has_ended());
  rig.submitting.submit_batch(&batch);
  CHECK(batch.count == 0);
  for (const Told& one : told) {
    await([&] {
      rig.direct.poll(ReapBy::kSubmitter);
      return one.has_ended();
    });
    CHECK(one.result.load() == 4096);
  }
  for (size_t i = 0; i < sizeof g_aligned; i += 1000) REQUIRE(g_aligned[i] == Scratch::byte_at(i));
}
