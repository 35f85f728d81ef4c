// request_test.cc - the state diagram of a request: exactly the steps that request.h draws.

#include "engine/request.h"

#include <set>
#include <utility>

#include "catch.h"

using aiox::engine::is_step_allowed;
using State = aiox::engine::RequestState;

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
