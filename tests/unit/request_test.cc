// request_test.cc - the state diagram of a request: exactly the steps that request.h draws; and what a control block
// remembers of a request, its token, names that one only.

#include "core/request.h"

#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>

#include "catch.h"
#include "engine/engine.h"
#include "made_request.h"

using namespace aiox::engine;
using State = RequestState;

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
    Told told;
    const Submission submission = submission_of(&told, ends[0], aiox::backend::Opcode::kRead, &byte, 1);
    REQUIRE(engine->submitting().submit(submission) == 0);
    for (Token earlier : tokens) REQUIRE(engine->cancelling().cancel(ends[0], earlier) == CancelOutcome::kAllDone);
    REQUIRE(told.result.load() == -EINPROGRESS);
    REQUIRE(tokens.insert(told.token).second);
    places.insert(static_cast<uint32_t>(told.token));
    REQUIRE(engine->cancelling().cancel(ends[0], told.token) == CancelOutcome::kCanceled);
    REQUIRE(told.result.load() == -ECANCELED);
  }
  CHECK(places.size() < tokens.size());
  close(ends[0]);
  close(ends[1]);
}
