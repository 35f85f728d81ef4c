// cases_ring.cc - the completion ring that a context is: its header, programs that read it, and its being moved.
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "ring.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using aiox_test::note;
using conformance::aligned_memory;
using conformance::Kind;
using conformance::open_channel;
using conformance::open_temp_file;

AIOX_CASE("a context is the address of a ring with a known header and room for two more than asked for") {
  for (const unsigned count : {1u, 2u, 7u, 64u, 127u, 128u, 1000u}) {
    Context context(count);
    const Ring& ring = ring_of(context);
    EXPECT_EQ(ring.magic, kRingMagic);
    EXPECT_EQ(ring.compat_features, 1u);
    EXPECT_EQ(ring.incompat_features, 0u);
    EXPECT_EQ(ring.header_length, 32u);
    EXPECT(ring.nr >= count + 2);
    EXPECT_EQ(ring.head, ring.tail);
    EXPECT(ring.head < ring.nr);
    EXPECT_EQ(reinterpret_cast<unsigned long>(static_cast<io_context_t>(context)) % 4096, 0ul);
  }
}

void wait_for_events(const Ring& ring, unsigned count) {
  while (events_in(ring) < count) sched_yield();
}

AIOX_CASE("completions appear in the ring without any call") {
  Context context;
  Ring& ring = ring_of(context);
  const int file = open_temp_file();
  const conformance::Channel direct = open_channel(Kind::kDirect);
  char* const memory = aligned_memory(4096);
  PendingPoll poll, ready;
  ready.end();
  std::vector<iocb> blocks{pwrite_block(file, memory, 4096),           pread_block(file, memory, 4096),
                           pwrite_block(direct.write_fd, memory, 4096), pread_block(direct.read_fd, memory, 4096),
                           fsync_block(file),                           fdsync_block(direct.write_fd),
                           ready.block,                                 poll.block};
  static constexpr const char* kNames[] = {"buffered write", "buffered read", "direct write", "direct read",
                                           "fsync",          "fdsync",        "ready poll",   "poll"};
  for (size_t i = 0; i < blocks.size(); ++i) {
    note(kNames[i]);
    EXPECT_EQ(submit(context, blocks[i]), 1);
    if (&blocks[i] == &blocks.back()) poll.end();
    wait_for_events(ring, 1);
    io_event event;
    EXPECT(take_from(ring, &event));
    EXPECT(event.obj == &blocks[i]);
    EXPECT_EQ(event.res2, 0ul);
    const long result = result_in(event);
    EXPECT(i < 4 ? result == 4096 : i < 6 ? result == 0 : tells(result, POLLIN));
    EXPECT(!take_from(ring, &event));
  }
  expect_no_event(context);
}

AIOX_CASE("stream reads and writes that had to wait appear in the ring without any call") {
  if (!differs_from_kernel(kSubmitDoesNotWait)) return;
  Context context;
  Ring& ring = ring_of(context);
  const conformance::Pipe pipe = conformance::open_pipe();
  char memory[8];
  iocb block = pread_block(pipe.read_fd, memory, 8);
  EXPECT_EQ(submit(context, block), 1);
  conformance::write_exactly(pipe.write_fd, "abc");
  wait_for_events(ring, 1);
  EXPECT_EQ(reap_result(context, block), 3);
}

AIOX_CASE("io_getevents moves the head that readers of the ring see") {
  Context context;
  Ring& ring = ring_of(context);
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "abc", 3);
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(submit(context, block), 1);
    wait_for_events(ring, 1);
    EXPECT_EQ(events_in(ring), 1u);
    EXPECT_EQ(reap_result(context, block), 3);
    EXPECT_EQ(events_in(ring), 0u);
    EXPECT(ring.head < ring.nr && ring.tail < ring.nr);
  }
}

AIOX_CASE("io_getevents after a reader has moved the head gives what is left") {
  Context context;
  Ring& ring = ring_of(context);
  const int fd = open_temp_file();
  std::vector<iocb> blocks(10, pwrite_block(fd, "abc", 3));
  EXPECT_EQ(submit(context, blocks), 10);
  wait_for_events(ring, 10);
  std::vector<int> seen(10, 0);
  for (int i = 0; i < 4; ++i) {
    io_event event;
    EXPECT(take_from(ring, &event));
    ++seen[static_cast<size_t>(event.obj - blocks.data())];
  }
  io_event events[16];
  EXPECT_EQ(get_events(context, 0, 16, events), 6);
  for (int i = 0; i < 6; ++i) ++seen[static_cast<size_t>(events[i].obj - blocks.data())];
  for (const int count : seen) EXPECT_EQ(count, 1);
  expect_no_event(context);
}

AIOX_CASE("a reader that has emptied the ring gets nothing from io_getevents, which waits") {
  Context context;
  Ring& ring = ring_of(context);
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "abc", 3);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(submit(context, block), 1);
    wait_for_events(ring, 1);
    io_event event;
    EXPECT(take_from(ring, &event));
    const timespec short_time = milliseconds(1);
    EXPECT_EQ(get_events(context, 1, 1, &event, &short_time), 0);
  }
}

// A reader of the ring, with or without calls in between, over many turns of the ring.
void read_many(bool with_calls, bool several_kinds) {
  constexpr size_t kDepth = 32;
  const size_t total = aiox_test::kSanitized ? 3000 : 8000;
  Context context(kDepth);
  Ring& ring = ring_of(context);
  const int file = open_temp_file();
  const conformance::Channel direct = open_channel(Kind::kDirect);
  char* const memory = aligned_memory(4096);
  EXPECT_EQ(pwrite(direct.write_fd, memory, 4096, 0), 4096);
  const iocb kinds[] = {pwrite_block(file, "abc", 3), poll_block(file, POLLIN),
                        pread_block(direct.read_fd, memory, 4096), pread_block(file, memory + 2048, 2)};
  const long expected[] = {3, POLLIN, 4096, 2};
  std::vector<iocb> blocks(total);
  std::vector<unsigned char> seen(total, 0);
  EXPECT_EQ(pwrite(file, "abc", 3, 0), 3);
  size_t submitted = 0, reaped = 0, turns = 0;
  unsigned last_head = ring.head;
  const auto account = [&](const io_event& event) {
    const size_t index = static_cast<size_t>(event.obj - blocks.data());
    EXPECT(index < submitted);
    EXPECT(event.data == reinterpret_cast<void*>(index));
    EXPECT_EQ(static_cast<int>(seen[index]), 0);
    seen[index] = 1;
    EXPECT_EQ(result_in(event), expected[several_kinds ? index % 4 : 0]);
    EXPECT_EQ(event.res2, 0ul);
    ++reaped;
  };
  while (reaped < total) {
    while (submitted < total && submitted - reaped < kDepth) {
      iocb* list[8];
      long count = 0;
      for (; count < 8 && submitted + static_cast<size_t>(count) < total; ++count) {
        const size_t index = submitted + static_cast<size_t>(count);
        blocks[index] = kinds[several_kinds ? index % 4 : 0];
        blocks[index].data = reinterpret_cast<void*>(index);
        list[count] = &blocks[index];
      }
      const long room = static_cast<long>(kDepth - (submitted - reaped));
      if (count > room) count = room;
      EXPECT_EQ(submit(context, count, list), count);  // within the depth, always
      submitted += static_cast<size_t>(count);
    }
    io_event event;
    if (with_calls && reaped % 3 == 0) {
      io_event events[5];
      const long got = get_events(context, 1, 5, events);
      EXPECT(got >= 1 && got <= 5);
      for (long i = 0; i < got; ++i) account(events[i]);
    } else if (take_from(ring, &event)) {
      account(event);
    } else {
      sched_yield();
    }
    if (ring.head < last_head) ++turns;
    last_head = ring.head;
  }
  EXPECT(turns >= 2);
  expect_no_event(context);
}

AIOX_CASE("a reader of the ring loses and doubles nothing over many turns") { read_many(false, false); }
AIOX_CASE("a reader of the ring loses and doubles nothing over many turns, with several kinds of request") {
  read_many(false, true);
}
AIOX_CASE("a reader of the ring that also calls io_getevents loses and doubles nothing over many turns") {
  read_many(true, false);
}
AIOX_CASE("a reader that also calls io_getevents loses and doubles nothing, with several kinds of request") {
  read_many(true, true);
}

AIOX_CASE("a reader that lets several events lie takes them later by one move of the head, as QEMU does") {
  constexpr unsigned kDepth = 64;
  Context context(kDepth);
  Ring& ring = ring_of(context);
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "abc", 3);
  std::vector<iocb*> list(kDepth, &block);
  for (int round = 0; round < 200; ++round) {
    EXPECT_EQ(submit(context, kDepth, list.data()), static_cast<long>(kDepth));
    wait_for_events(ring, kDepth);
    EXPECT_EQ(events_in(ring), kDepth);
    for (unsigned i = 0; i < kDepth; ++i) {
      const io_event& event = ring.events[(ring.head + i) % ring.nr];
      EXPECT(event.obj == &block);
      EXPECT_EQ(result_in(event), 3);
    }
    __atomic_store_n(&ring.head, (ring.head + kDepth) % ring.nr, __ATOMIC_RELEASE);
  }
  expect_no_event(context);
}

AIOX_CASE("one thread submits, another reads the ring") {
  constexpr int kDepth = 16;
  const int total = aiox_test::kSanitized ? 3000 : 8000;
  Context context(kDepth);
  Ring& ring = ring_of(context);
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "abc", 3);
  std::thread submitter([&] {
    for (int done = 0; done < total;) {
      const long answer = submit(context, block);
      EXPECT(answer == 1 || answer == -EAGAIN);
      if (answer == 1) ++done;
      else sched_yield();
    }
  });
  for (int taken = 0; taken < total;) {
    io_event event;
    if (take_from(ring, &event)) {
      EXPECT(event.obj == &block);
      EXPECT_EQ(result_in(event), 3);
      ++taken;
    } else {
      sched_yield();
    }
  }
  submitter.join();
  expect_no_event(context);
}

// All that a program can know of the mapping: whole pages that hold the ring.
size_t mapping_bytes(io_context_t context) {
  const size_t bytes = sizeof(Ring) + ring_of(context).nr * sizeof(io_event);
  return (bytes + 4095) / 4096 * 4096;
}

AIOX_CASE("a ring that is moved by mremap is the context at its new address, with what is in flight and unreaped") {
  Context owner;
  const io_context_t old = owner.release();
  const size_t bytes = mapping_bytes(old);
  PendingPoll poll;
  const int fd = open_temp_file();
  iocb done = pwrite_block(fd, "abc", 3);
  EXPECT_EQ(submit(old, poll.block), 1);
  EXPECT_EQ(submit(old, done), 1);
  wait_for_events(ring_of(old), 1);
  void* const place = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(place != MAP_FAILED);
  if (mremap(old, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place) {
    aiox_test::fail_case(__FILE__, __LINE__, "the ring cannot be moved");
  }
  const io_context_t moved = static_cast<io_context_t>(place);
  EXPECT_EQ(ring_of(moved).magic, kRingMagic);
  if (!differs_from_kernel(kOldAddressIsLetGoLate)) EXPECT_EQ(submit(old, done), -EINVAL);
  EXPECT_EQ(reap_result(moved, done), 3);
  EXPECT_EQ(submit(moved, done), 1);
  EXPECT_EQ(reap_result(moved, done), 3);
  poll.end();
  wait_for_events(ring_of(moved), 1);
  EXPECT(tells(reap_result(moved, poll.block), POLLIN));
  io_event unused;
  EXPECT_EQ(cancel(moved, &done, &unused), -EINVAL);
  EXPECT_EQ(destroy(old), -EINVAL);
  EXPECT_EQ(destroy(moved), 0);
}

AIOX_CASE("a ring cannot be made longer by mremap") {
  Context context;
  if (differs_from_kernel(kRingMayGrow)) return;
  const size_t bytes = mapping_bytes(context);
  EXPECT_FAILS(reinterpret_cast<long>(mremap(context, bytes, 2 * bytes, MREMAP_MAYMOVE)), EFAULT);
  iocb block = pwrite_block(open_temp_file(), "abc", 3);
  EXPECT_EQ(run(context, block), 3);
}

}  // namespace
}  // namespace libaio_conformance
