// request_test.cc - the state diagram of a request: exactly the steps that request.h draws; and what a control block
// remembers of a request, its token, names that one only.

#include "core/request.h"

#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>

#include "catch.h"
#include "engine/engine.h"

using namespace aiox::engine;
using State = RequestState;

namespace {

struct Block {
  Token token = 0;
  int64_t result = -EINPROGRESS;
};

constexpr Interface kBlockOps = {
    [](void* block, Token token) { static_cast<Block*>(block)->token = token; },
    [](Request* request, int64_t result) {
      static_cast<Block*>(request->origin.control_block)->result = result;
      return true;
    },
    [](const Submission& submission, int64_t result) {
      static_cast<Block*>(submission.control_block)->result = result;
    },
    true,
};

}  // namespace

TEST_CASE("a request takes only the steps of the diagram") {
  const std::set<std::pair<State, State>> drawn = {
      {State::kFree, State::kPrepared},      {State::kPrepared, State::kQueued},  {State::kPrepared, State::kDone},
      {State::kQueued, State::kInFlight},    {State::kQueued, State::kDone},      {State::kInFlight, State::kDone},
      {State::kInFlight, State::kQueued},    {State::kInFlight, State::kCanceling}, {State::kCanceling, State::kDone},
      {State::kCanceling, State::kInFlight}, {State::kDone, State::kFree},
  };
  const State all[] = {State::kFree,     State::kPrepared,  State::kQueued,
                       State::kInFlight, State::kCanceling, State::kDone};
  for (State from : all) {
    for (State to : all) {
      INFO("from " << static_cast<int>(from) << " to " << static_cast<int>(to));
      CHECK(is_step_allowed(from, to) == (drawn.count({from, to}) == 1));
    }
  }
}

TEST_CASE("a token names no request but its own, also where that one's place was taken by another") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  Engine* engine = Engine::get();
  REQUIRE(engine != nullptr);
  char byte;
  std::set<Token> tokens;
  std::set<uint32_t> places;
  for (int i = 0; i < 200; i++) {
    Block block;
    Submission submission;
    submission.fd = ends[0];
    submission.buffer = {&byte, 1};
    submission.length_bytes = 1;
    submission.control_block = &block;
    submission.interface = &kBlockOps;
    REQUIRE(engine->submitting().submit(submission) == 0);
    for (Token earlier : tokens) REQUIRE(engine->cancelling().cancel(ends[0], earlier) == CancelOutcome::kAllDone);
    REQUIRE(block.result == -EINPROGRESS);
    REQUIRE(tokens.insert(block.token).second);
    places.insert(static_cast<uint32_t>(block.token));
    REQUIRE(engine->cancelling().cancel(ends[0], block.token) == CancelOutcome::kCanceled);
    REQUIRE(block.result == -ECANCELED);
  }
  CHECK(places.size() < tokens.size());
  close(ends[0]);
  close(ends[1]);
}
