// lane_trial_test.cc - whether a lane can be used: tried when it must be, refused for good or for a while, and why in
// words.

#include "lanes/lane_trial.h"

#include <cstring>

#include "catch.h"
#include "lanes/direct_trial.h"
#include "lanes/lane_reasons.h"

using aiox::engine::LaneRefusal;
using aiox::engine::LaneTrial;
using State = LaneTrial::State;
using aiox::engine::explain_direct;
using aiox::engine::explain_inline;
using aiox::engine::explain_ring;

TEST_CASE("a lane is tried once, and what it said is remembered") {
  LaneTrial trial;
  int trials = 0;
  auto carry_out = [&](bool is_first) {
    CHECK(is_first == (trials == 0));
    trials++;
    return LaneRefusal{};
  };
  CHECK(trial.state() == State::kUnknown);
  CHECK(trial.ask(carry_out) == State::kUsable);
  CHECK(trial.ask(carry_out) == State::kUsable);
  CHECK(trials == 1);
}

TEST_CASE("what is not permitted is refused for good; what was short is tried again, but not at once") {
  const int errors[] = {-EPERM, -ENOSYS, -EACCES, -EINVAL, -ENOMEM, -EAGAIN, -ENFILE};
  for (int error : errors) {
    INFO("error " << error);
    LaneTrial trial;
    int trials = 0;
    auto carry_out = [&](bool) {
      trials++;
      return LaneRefusal{error, "step"};
    };
    CHECK(trial.ask(carry_out) == State::kRefused);
    CHECK(trial.ask(carry_out) == State::kRefused);
    CHECK(trials == 1);
    CHECK(trial.refusal().error == error);
    CHECK(strcmp(trial.refusal().step, "step") == 0);
  }
}

TEST_CASE("a refusal that comes later is news once, and ends the lane's use") {
  LaneTrial trial;
  trial.ask([](bool) { return LaneRefusal{}; });
  CHECK(trial.note_refusal(-EPERM, "io_submit"));
  CHECK(trial.state() == State::kRefused);
  CHECK_FALSE(trial.note_refusal(-ENOSYS, "io_setup"));
  CHECK(trial.refusal().error == -EPERM);
}

TEST_CASE("what was given back is tried anew; what was refused stays refused") {
  LaneTrial trial;
  trial.ask([](bool) { return LaneRefusal{}; });
  trial.reset();
  CHECK(trial.state() == State::kUnknown);
  trial.note_refusal(-EPERM, "io_submit");
  trial.reset();
  CHECK(trial.state() == State::kRefused);
}

TEST_CASE("each reason names the step, and what to change") {
  char reason[aiox::engine::kReasonBytes];
  explain_direct({-EPERM, "io_submit"}, reason);
  CHECK(strstr(reason, "io_submit is forbidden") != nullptr);
  CHECK(strstr(reason, "allow io_setup, io_submit and io_pgetevents there") != nullptr);
  explain_direct({-EAGAIN, "io_setup"}, reason);
  CHECK(strstr(reason, "sysctl -w fs.aio-max-nr=") != nullptr);
  explain_ring({-EINVAL, "io_uring_setup"}, reason);
  CHECK(strstr(reason, "need Linux 6.5") != nullptr);
  explain_ring({-ENOMEM, "io_uring_setup"}, reason);
  CHECK(strstr(reason, "ulimit -l") != nullptr);
  explain_inline({-ENOSYS, "preadv2"}, reason);
  CHECK(strstr(reason, "older than Linux 4.14") != nullptr);
}

TEST_CASE("the direct lane's trial makes its first context, gives it back when idle, and makes another") {
  aiox::engine::LaneRings rings;
  aiox::engine::DirectTrial trial;
  trial.open(&rings);
  if (!trial.is_usable()) AIOX_SKIP("no kernel AIO");
  CHECK(rings.is_any());
  trial.release_ring();
  CHECK_FALSE(rings.is_any());
  CHECK(trial.is_usable());
  CHECK(rings.is_any());
  trial.note_refusal(-EPERM, "io_submit");
  CHECK_FALSE(trial.is_usable());
  CHECK(trial.refusal().error == -EPERM);
  trial.release_ring();
  CHECK_FALSE(rings.is_any());
}
