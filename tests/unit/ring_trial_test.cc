// ring_trial_test.cc - whether workers have rings: as it was found, as it is set, and until one is refused.

#include "workers/ring_trial.h"

#include <cstring>

#include "catch.h"
#include "kernel/thread.h"
#include "rig.h"

using namespace aiox::engine;

namespace {

constexpr uint32_t kBeyondRing = 1000;  // units of one file: more than a ring takes, and no matter to threads

}  // namespace

TEST_CASE("with AIOX_BACKEND=threads rings are not used, be they to be had or not") {
  Rig& rig = Rig::make({{"AIOX_BACKEND", "threads"}});
  Rig& other = Rig::make({{"AIOX_BACKEND", "auto"}});
  RingTrial& trial = rig.pool.ring_trial();
  CHECK_FALSE(trial.is_usable());
  CHECK(trial.is_available() == other.pool.ring_trial().is_available());
  CHECK_FALSE(trial.is_usable());
  CHECK(other.pool.ring_trial().is_usable() == other.pool.ring_trial().is_available());
}

TEST_CASE("there are as many rings as processors, and no more than workers") {
  Config config;
  config.workers_max = 1024;
  CHECK(RingTrial::rings_max(config) == aiox::kernel::processor_count());
  config.workers_max = 1;
  CHECK(RingTrial::rings_max(config) == 1);
}

TEST_CASE("a ring that is refused later is refused for all, and its service has threads from then on") {
  Rig& rig = Rig::make();
  RingTrial& trial = rig.pool.ring_trial();
  WorkerShare* share = rig.pool.at(ServiceId::kRing).share();
  trial.is_available();
  CHECK_FALSE(share->has_room(kBeyondRing));
  trial.note_refusal(-EPERM, "io_uring_enter");
  CHECK_FALSE(trial.is_available());
  CHECK_FALSE(trial.is_usable());
  if (trial.refusal().error == -EPERM) CHECK(strcmp(trial.refusal().step, "io_uring_enter") == 0);
  CHECK(share->has_room(kBeyondRing));
  trial.note_refusal(-ENOSYS, "io_uring_setup");
  CHECK(trial.refusal().error != -ENOSYS);  // it was no news
}

TEST_CASE("the trial has left no thread and no descriptor behind, and a ring that can be had has no refusal") {
  Rig& rig = Rig::make();
  const int before = dup(0);
  close(before);
  RingTrial& trial = rig.pool.ring_trial();
  const bool is_available = trial.is_available();
  CHECK((trial.refusal().error == 0) == is_available);
  CHECK((trial.refusal().step[0] == '\0') == is_available);
  const int after = dup(0);
  close(after);
  CHECK(after == before);
  CHECK(rig.core.counters.threads_now.read() == 0);
}
