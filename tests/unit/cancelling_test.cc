// cancelling_test.cc - the three answers to a cancellation, and what becomes of each request by where it stands.

#include "engine/cancelling.h"

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

struct Bench {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}});
  Scratch scratch{8192};
  FileQueue* file = rig.file_of(scratch.fd());
  char buffer[64] = {};

  Request* begin(Told* told) { return rig.begin(told, file, Opcode::kRead, buffer, sizeof buffer); }
  Request* queue(Told* told) { return rig.queue(told, file, Opcode::kRead, buffer, sizeof buffer); }
  CancelOutcome cancel(Token token = 0) { return rig.cancelling.cancel(scratch.fd(), token); }
};

void is_cancelled_once(const Told& told) {
  CHECK(told.ends.load() == 1);
  CHECK(told.result.load() == -ECANCELED);
}

}  // namespace

TEST_CASE("where nothing is outstanding all is done") {
  Bench bench;
  CHECK(bench.cancel() == CancelOutcome::kAllDone);
  CHECK(bench.rig.cancelling.cancel(1 << 20, 0) == CancelOutcome::kAllDone);
  CHECK(bench.rig.cancelling.cancel(-1, 0) == CancelOutcome::kAllDone);
  Told told;
  bench.rig.completion.complete(bench.begin(&told), 64);
  CHECK(bench.cancel(told.token) == CancelOutcome::kAllDone);
  CHECK(told.ends.load() == 1);
}

TEST_CASE("what has not begun is cancelled, told once, and given back") {
  Bench bench;
  Told told;
  Request* request = bench.queue(&told);
  CHECK(bench.cancel(told.token) == CancelOutcome::kCanceled);
  is_cancelled_once(told);
  CHECK(bench.file->outstanding().count() == 0);
  CHECK(bench.rig.is_free(request));
  CHECK(bench.cancel(told.token) == CancelOutcome::kAllDone);
  CHECK(bench.rig.core.counters.cancelled.read() == 1);
}

TEST_CASE("a file's request that has begun goes on") {
  Bench bench;
  Told told;
  Request* request = bench.begin(&told);
  CHECK(bench.cancel(told.token) == CancelOutcome::kNotCanceled);
  CHECK_FALSE(told.has_ended());
  bench.rig.completion.complete(request, 64);
  CHECK(told.result.load() == 64);
}

TEST_CASE("of all of a file, what can be is cancelled, and the answer is that not all could be") {
  Bench bench;
  Told running, first, second;
  Request* request = bench.begin(&running);
  bench.queue(&first);
  bench.queue(&second);
  CHECK(bench.cancel() == CancelOutcome::kNotCanceled);
  is_cancelled_once(first);
  is_cancelled_once(second);
  CHECK_FALSE(running.has_ended());
  bench.rig.completion.complete(request, 64);
  Told third;
  bench.queue(&third);
  CHECK(bench.cancel() == CancelOutcome::kCanceled);
}

TEST_CASE("one that is named is cancelled alone") {
  Bench bench;
  Told first, second;
  bench.queue(&first);
  bench.queue(&second);
  CHECK(bench.cancel(first.token) == CancelOutcome::kCanceled);
  is_cancelled_once(first);
  CHECK_FALSE(second.has_ended());
  CHECK(bench.cancel(second.token) == CancelOutcome::kCanceled);
}

TEST_CASE("a token of another file's request cancels nothing") {
  Bench bench;
  Scratch other(64);
  FileQueue* others = bench.rig.file_of(other.fd());
  Told told;
  bench.rig.queue(&told, others, Opcode::kRead, bench.buffer, 1);
  CHECK(bench.cancel(told.token) == CancelOutcome::kAllDone);
  CHECK_FALSE(told.has_ended());
  CHECK(bench.rig.cancelling.cancel(other.fd(), told.token) == CancelOutcome::kCanceled);
}

TEST_CASE("what stood behind a cancelled request runs, also before what that had waited for has ended") {
  Bench bench;
  Told running, cancelled, read;
  char buffer[128] = {}, other[64];
  Request* write = bench.rig.begin(&running, bench.file, Opcode::kWrite, buffer, 64);
  bench.rig.queue(&cancelled, bench.file, Opcode::kWrite, buffer, 128);
  bench.rig.queue(&read, bench.file, Opcode::kRead, other, sizeof other, 64);
  CHECK(bench.cancel(cancelled.token) == CancelOutcome::kCanceled);
  CHECK(read.wait() == 64);
  CHECK(other[0] == Scratch::byte_at(64));
  bench.rig.completion.complete(write, 64);
}

TEST_CASE("a stream's wait is ended, by the worker that waits") {
  Bench bench;
  Ends ends;
  Told told;
  char byte = 0;
  REQUIRE(bench.rig.submit(&told, ends.reading(), Opcode::kRead, &byte, 1) == 0);
  CHECK(bench.rig.cancelling.cancel(ends.reading(), told.token) == CancelOutcome::kCanceled);
  is_cancelled_once(told);
  ends.put("x");
  Told next;
  REQUIRE(bench.rig.submit(&next, ends.reading(), Opcode::kRead, &byte, 1) == 0);
  CHECK(next.wait() == 1);  // the byte was not the other's
}

TEST_CASE("contexts and aio_cancel leave each other's requests alone, and a block is found in its own context") {
  Bench bench;
  Context* contexts[] = {bench.rig.make_context(8), bench.rig.make_context(8)};
  Told plain, ours, theirs;
  bench.queue(&plain);
  bench.rig.queue(&ours, bench.file, Opcode::kRead, bench.buffer, 1, 0, contexts[0]);
  bench.rig.queue(&theirs, bench.file, Opcode::kRead, bench.buffer, 1, 0, contexts[1]);
  CHECK(bench.cancel() == CancelOutcome::kCanceled);
  is_cancelled_once(plain);
  CHECK_FALSE(ours.has_ended());
  Cancelling& cancelling = bench.rig.cancelling;
  CHECK(cancelling.cancel(contexts[1], bench.scratch.fd(), &ours) == CancelOutcome::kAllDone);
  CHECK(cancelling.cancel(contexts[0], bench.scratch.fd(), &ours) == CancelOutcome::kCanceled);
  is_cancelled_once(ours);
  CHECK_FALSE(theirs.has_ended());
  cancelling.cancel_all_of(contexts[1]);
  is_cancelled_once(theirs);
  for (Context* context : contexts) CHECK(bench.rig.destroy(context) == 0);
}

TEST_CASE("all that are cancelled together are told before the first is given back") {
  Bench bench;
  Told told[2];
  struct Seen {
    Rig& rig;
    FileQueue* file;
    uint32_t outstanding = 0;
  } seen = {bench.rig, bench.file};
  for (Told& one : told) {
    bench.queue(&one);
    one.argument = &seen;
  }
  told[1].at_end = [](Told* of) {
    auto* it = static_cast<Seen*>(of->argument);
    it->outstanding = it->file->outstanding().count();
  };
  CHECK(bench.cancel() == CancelOutcome::kCanceled);
  CHECK(seen.outstanding == 2);
}
