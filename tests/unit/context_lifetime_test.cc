// context_lifetime_test.cc - contexts are made within the bound, end with what is in flight for them, and end once.

#include "engine/context_lifetime.h"

#include "catch.h"
#include "rig.h"

using namespace aiox::engine;
using aiox::backend::Opcode;

namespace {

const Rig::Settings kSettings = {{"AIOX_BACKEND", "threads"}, {"AIOX_IDLE_MS", "60000"}, {"AIOX_EVENTS_MAX", "100"}};

}  // namespace

TEST_CASE("contexts are promised no more events than there may be, and what one had is another's when it has ended") {
  Rig& rig = Rig::make(kSettings);
  Context* first = rig.make_context(60);
  Context* second = rig.make_context(40);
  uintptr_t address = 0;
  CHECK(rig.context_lifetime.create(1, &address) == -EAGAIN);
  CHECK(rig.destroy(first) == 0);
  CHECK(rig.context_lifetime.create(61, &address) == -EAGAIN);
  Context* third = rig.make_context(60);
  CHECK(rig.destroy(second) == 0);
  CHECK(rig.destroy(third) == 0);
}

TEST_CASE("a context ends once, and is found no more") {
  Rig& rig = Rig::make(kSettings);
  uintptr_t address = 0;
  REQUIRE(rig.context_lifetime.create(4, &address) == 0);
  Context* context = rig.contexts.enter(address, rig.core.wait_slots);
  REQUIRE(context != nullptr);
  CHECK(rig.destroy(context) == 0);
  CHECK(rig.destroy(context) == -EINVAL);
  CHECK(rig.contexts.enter(address, rig.core.wait_slots) == nullptr);
}

TEST_CASE("what has not begun and what waits on a stream end cancelled, each once") {
  Rig& rig = Rig::make(kSettings);
  Context* context = rig.make_context(8);
  Context* other = rig.make_context(8);
  Scratch scratch(4096);
  Ends ends;
  char buffer[64] = {};
  Told parked, waiting, others;
  rig.queue(&parked, rig.file_of(scratch.fd()), Opcode::kRead, buffer, 64, 0, context);
  rig.queue(&others, rig.file_of(scratch.fd()), Opcode::kRead, buffer, 64, 0, other);
  REQUIRE(rig.submit(&waiting, ends.reading(), Opcode::kRead, buffer, 1, 0, context) == 0);
  CHECK(rig.destroy(context) == 0);
  CHECK(parked.result.load() == -ECANCELED);
  CHECK(waiting.result.load() == -ECANCELED);
  CHECK(parked.ends.load() + waiting.ends.load() == 2);
  CHECK_FALSE(others.has_ended());
  CHECK(rig.destroy(other) == 0);
  CHECK(others.result.load() == -ECANCELED);
}

TEST_CASE("a context does not end before what is being carried out for it") {
  Rig& rig = Rig::make(kSettings);
  Context* context = rig.make_context(8);
  Scratch scratch(4096);
  char buffer[64] = {};
  Told told;
  Request* request = rig.begin(&told, rig.file_of(scratch.fd()), Opcode::kRead, buffer, 64, 0, context);
  std::atomic<bool> has_been_told{false}, has_ended{false};
  std::thread destroyer([&] {
    rig.destroy(context);
    has_been_told.store(told.has_ended());
    has_ended.store(true);
  });
  await([&] { return context->is_dead(); });
  CHECK_FALSE(has_ended.load());
  rig.completion.complete(request, 64);
  destroyer.join();
  CHECK(has_been_told.load());
  CHECK(told.result.load() == 64);
}

TEST_CASE("a thread that waits for a context's events is woken when that ends") {
  Rig& rig = Rig::make(kSettings);
  Context* context = rig.make_context(8);
  WaitSlots& slots = rig.core.wait_slots;
  const uint32_t slot = slots.take();
  const uint32_t before = slots.value(slot);
  context->add_waiter(slot, 1);
  CHECK(rig.destroy(context) == 0);
  CHECK(slots.value(slot) != before);
  slots.release(slot);
}

TEST_CASE("the process's last writes are carried out before it goes, also those that no worker was told of") {
  Rig& rig = Rig::make(kSettings);
  Scratch scratch(4096), unused(4096);
  rig.file_of(unused.fd());
  std::string text(64, 'w');
  Told told;
  rig.queue(&told, rig.file_of(scratch.fd()), Opcode::kWrite, text.data(), text.size());
  {
    const Undisturbed undisturbed;
    rig.context_lifetime.await_writes();
  }
  CHECK(told.has_ended());
  CHECK(scratch.read_at(0, 64) == text);
}
