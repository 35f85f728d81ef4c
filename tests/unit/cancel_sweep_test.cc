// cancel_sweep_test.cc - what one cancellation does to a request, by where that stands.

#include "files/cancel_sweep.h"

#include "catch.h"
#include "made_request.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

struct Bench {
  Bench() { ordering.open(true); }
  Maker make;  // its requests outlive the ordering that has them
  Ordering ordering;
  CancelSweep sweep;
};

}  // namespace

TEST_CASE("a request that has not begun is taken off its list, and stays in the order until it is published") {
  Bench bench;
  Request* write = bench.make.write(0, 4096);
  Request* waiting = bench.make.read(0, 1);
  CHECK(bench.ordering.add(write));
  CHECK_FALSE(bench.ordering.add(waiting));
  CHECK(bench.sweep.add(waiting, bench.ordering));
  CHECK(bench.sweep.cancelled.front() == waiting);
  CHECK(waiting->state.load() == RequestState::kDone);
  CHECK(Ordering::next(write) == waiting);
}

TEST_CASE("a file's request that is in flight, or of which a part is done, goes on") {
  Bench bench;
  Request* begun = bench.make.write(0, 4096);
  Request* running = bench.make.write(8192, 4096);
  CHECK(bench.ordering.add(begun));
  CHECK(bench.ordering.add(running));
  bench.ordering.make_runnable(begun);
  begun->work.has_begun = true;
  change_state(running, RequestState::kQueued, RequestState::kInFlight);
  CHECK_FALSE(bench.sweep.add(begun, bench.ordering));
  CHECK_FALSE(bench.sweep.add(running, bench.ordering));
  CHECK(bench.sweep.running_count == 2);
  CHECK(bench.sweep.ticket_count == 0);
  CHECK(bench.sweep.cancelled.empty());
}

TEST_CASE("a request that has ended counts as neither") {
  Bench bench;
  Request* ended = bench.make.write(0, 4096);
  CHECK(bench.ordering.add(ended));
  change_state(ended, RequestState::kQueued, RequestState::kDone);
  ended->is_published.store(1);
  CHECK_FALSE(bench.sweep.add(ended, bench.ordering));
  CHECK(bench.sweep.running_count == 0);
}

TEST_CASE("a match is by context, control block and stream reads") {
  Maker make;
  Request* read = make.read(0, 1);
  int block = 0;
  read->origin.control_block = &block;
  CancelMatch match;
  CHECK(match.fits(read));
  match.control_block = &match;
  CHECK_FALSE(match.fits(read));
  match.control_block = &block;
  match.is_stream_reads_only = true;
  CHECK_FALSE(match.fits(read));
  read->io.file_kind = aiox::kernel::FileKind::kPipe;
  CHECK(match.fits(read));
  read->io.opcode = Opcode::kWrite;
  CHECK_FALSE(match.fits(read));
}

TEST_CASE("no plain call is collected while a request is queued, or with no worker") {
  Bench bench;
  PlainCalls calls;
  CHECK(calls.collect(bench.ordering));
  CHECK(calls.count == 0);
  CHECK(bench.ordering.add(bench.make.read(0, 1)));
  CHECK_FALSE(calls.collect(bench.ordering));
}
