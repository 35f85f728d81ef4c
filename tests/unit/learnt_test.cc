// learnt_test.cc - how the figures of a file follow its use: pieces, durations, reads inside the call.

#include "files/learnt.h"

#include "catch.h"

using aiox::engine::Learnt;

TEST_CASE("direct requests are cut smaller when one was refused for its length, down to a bound") {
  Learnt learnt;
  learnt.begin(true, 0);
  learnt.shrink_direct_chunk(Learnt::kDirectChunkMin);  // that one was not
  uint32_t before = learnt.direct_chunk_bytes();
  CHECK(before == Learnt::kDirectChunkMax);
  learnt.shrink_direct_chunk(before + 1);
  CHECK(learnt.direct_chunk_bytes() == before / 2);
  learnt.shrink_direct_chunk(before / 4);  // shorter than what it would have been cut to
  CHECK(learnt.direct_chunk_bytes() == before / 8);
  for (int i = 0; i < 30; i++) learnt.shrink_direct_chunk(before);
  CHECK(learnt.direct_chunk_bytes() == Learnt::kDirectChunkMin);
}

TEST_CASE("the pieces of direct requests grow back while whole ones move, the later the more often in vain") {
  Learnt learnt;
  learnt.begin(true, 0);
  const uint32_t most = learnt.direct_chunk_bytes();
  auto wholes_to_grow = [&] {
    const uint32_t before = learnt.direct_chunk_bytes();
    uint32_t count = 0;
    for (; learnt.direct_chunk_bytes() == before && count < 100'000; count++) learnt.note_whole_split();
    CHECK(learnt.direct_chunk_bytes() == 2 * before);
    return count;
  };
  learnt.shrink_direct_chunk(most);
  const uint32_t first = wholes_to_grow();
  CHECK(learnt.direct_chunk_bytes() == most);
  for (int i = 0; i < 10'000; i++) learnt.note_whole_split();
  CHECK(learnt.direct_chunk_bytes() == most);  // not beyond what the device takes
  learnt.shrink_direct_chunk(most);
  CHECK(wholes_to_grow() == 2 * first);
  uint32_t last = 0;
  for (int i = 0; i < 12; i++) {
    learnt.shrink_direct_chunk(most);
    last = wholes_to_grow();
  }
  CHECK(last == Learnt::kSplitsToGrowMax);
}

TEST_CASE("a device that takes less at once bounds the pieces from the start") {
  Learnt learnt;
  learnt.begin(true, 128 << 10);
  CHECK(learnt.direct_chunk_bytes() == 128 << 10);
  learnt.shrink_direct_chunk(128 << 10);
  CHECK(learnt.direct_chunk_bytes() == Learnt::kDirectChunkMin);
  for (int i = 0; i < 10'000; i++) learnt.note_whole_split();
  CHECK(learnt.direct_chunk_bytes() == 128 << 10);
  learnt.begin(true, 64 << 20);
  CHECK(learnt.direct_chunk_bytes() == Learnt::kDirectChunkMax);
}

TEST_CASE("reads are tried inside the call again once a request has ended, where they may be at all") {
  Learnt learnt;
  learnt.begin(true, 0);
  CHECK(learnt.may_read_inline());
  learnt.stop_reading_inline();
  CHECK_FALSE(learnt.may_read_inline());
  learnt.note_release();
  CHECK(learnt.may_read_inline());
  learnt.begin(false, 0);
  CHECK_FALSE(learnt.may_read_inline());
  learnt.note_release();
  CHECK_FALSE(learnt.may_read_inline());
}

TEST_CASE("a file is quick by the mean of its calls, and not before the first") {
  Learnt learnt;
  learnt.begin(true, 0);
  CHECK_FALSE(learnt.is_quick());
  learnt.note_duration(1000);
  CHECK(learnt.is_quick());
  learnt.note_duration(100'000);  // an eighth of it counts
  CHECK(learnt.is_quick());
  learnt.note_duration(INT64_MAX);
  CHECK_FALSE(learnt.is_quick());
  for (int i = 0; i < 200; i++) learnt.note_duration(1000);
  CHECK(learnt.is_quick());
}

TEST_CASE("another file begins with nothing learnt") {
  Learnt learnt;
  learnt.begin(true, 0);
  learnt.note_duration(1000);
  learnt.shrink_direct_chunk(Learnt::kDirectChunkMax);
  learnt.inline_writes().disable();
  learnt.direct(true).disable();
  CHECK(learnt.direct(false).should_try());
  CHECK_FALSE(learnt.direct(true).should_try());
  learnt.begin(true, 0);
  CHECK_FALSE(learnt.is_quick());
  CHECK(learnt.direct_chunk_bytes() == Learnt::kDirectChunkMax);
  CHECK(learnt.inline_writes().should_try());
  CHECK(learnt.direct(true).should_try());
}
