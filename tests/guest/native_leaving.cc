// native_leaving.cc - what is left of native AIO when its contexts are destroyed: no processor time, hardly a thread,
// no memory, no mapping.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "native.h"

using namespace guest;

namespace {

constexpr unsigned kRequests = 100000;
constexpr unsigned kAtOnce = 4000;
constexpr unsigned kPipes = 16;
constexpr size_t kRequestBytes = 512;
constexpr long kSpareBytes = 1 << 20;

unsigned mapping_count() {
  static char text[1 << 20];
  const size_t length = read_whole("/proc/self/maps", text, sizeof text);
  unsigned count = 0;
  for (size_t i = 0; i < length; ++i) count += text[i] == '\n';
  return count;
}

}  // namespace

GUEST_PROPERTY(native_nothing_is_left_of_a_burst_of_a_hundred_thousand_requests) {
  const unsigned count = trials(kRequests);
  int buffered = load_file(false), direct = load_file(true), written = pattern_file(8 << 20);
  int read_ends[kPipes], write_ends[kPipes];
  for (unsigned i = 0; i < kPipes; ++i) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    read_ends[i] = ends[0], write_ends[i] = ends[1];
  }
  std::vector<iocb> blocks(kAtOnce);  // touched, as all of the program's own
  std::vector<iocb*> list(kAtOnce);
  std::vector<io_event> events(kAtOnce);
  auto* buffers = static_cast<unsigned char*>(aligned_alloc(4096, kAtOnce * kRequestBytes));
  CHECK(buffers != nullptr);
  memset(buffers, 0xff, kAtOnce * kRequestBytes);
  printf("%ld bytes before, %u mappings\n", resident_bytes(), mapping_count());
  (void)thread_count(), processor_seconds();
  drop_cache(buffered);
  const long before = resident_bytes();

  aio_context_t context = 0;
  CHECK(native_setup(kAtOnce, &context) == 0);
  for (unsigned done = 0; done < count; done += kAtOnce) {
    unsigned in_pipes = 0;
    for (unsigned i = 0; i < kAtOnce; ++i) {
      blocks[i] = {};
      blocks[i].aio_lio_opcode = i % 8 == 6 ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      blocks[i].aio_buf = reinterpret_cast<uintptr_t>(buffers + i * kRequestBytes);
      blocks[i].aio_nbytes = kRequestBytes;
      blocks[i].aio_offset = int64_t(random_below((8 << 20) / kRequestBytes) * kRequestBytes);
      blocks[i].aio_fildes = uint32_t(i % 8 == 6 ? written : i % 2 && direct >= 0 ? direct : buffered);
      if (i % 8 == 7 && is_answered_by_aiox()) {
        blocks[i].aio_fildes = uint32_t(read_ends[in_pipes++ % kPipes]);
        blocks[i].aio_nbytes = 1;
      }
      list[i] = &blocks[i];
    }
    for (long accepted = 0; accepted < long(kAtOnce);) {
      long now = native_submit(context, long(kAtOnce) - accepted, list.data() + accepted);
      if (now <= 0) FAIL("io_submit answered %ld after %ld", now, accepted);
      accepted += now;
    }
    for (unsigned i = 0; i < in_pipes; ++i) CHECK(write(write_ends[i % kPipes], "x", 1) == 1);
    for (unsigned taken = 0; taken < kAtOnce;) {
      long now = native_events(context, 1, kAtOnce, events.data(), nullptr);
      if (now <= 0) FAIL("io_getevents answered %ld after %u", now, taken);
      for (long i = 0; i < now; ++i)
        if (events[size_t(i)].res != int64_t(reinterpret_cast<iocb*>(events[size_t(i)].obj)->aio_nbytes))
          FAIL("a request ended with %lld", static_cast<long long>(events[size_t(i)].res));
      taken += unsigned(now);
    }
  }
  const long during = resident_bytes();
  const unsigned threads = thread_count();
  CHECK(native_destroy(context) == 0);
  sleep_ms(2000);
  const double begun = processor_seconds();
  sleep_ms(1000);
  const double used = processor_seconds() - begun;
  const long after = resident_bytes();
  printf("resident: %ld KiB more after the burst, %ld KiB more 3 s later; threads: %u, %u; %.3f ms of processor time\n",
         (during - before) / 1024, (after - before) / 1024, threads, thread_count(), used * 1000);
  fflush(stdout);
  if (is_sanitized()) return;
  CHECK(thread_count() <= 2);
  if (used > 0.002) FAIL("%.3f ms of processor time in a second of idleness", used * 1000);
  // glibc keeps the stacks of ended threads, of which there were many here (docs/compatibility.md, L-14).
  const char* backend = getenv("AIOX_BACKEND");
  const bool has_stacks = backend != nullptr && strcmp(backend, "threads") == 0;
  if (after - before > (has_stacks ? 2 : 1) * kSpareBytes)
    FAIL("%ld KiB more than before the first request", (after - before) / 1024);
}

GUEST_PROPERTY(native_a_thousand_contexts_one_after_another_leave_nothing) {
  use_native_aio_a_little();
  int fd = load_file(false), direct = load_file(true) >= 0 ? load_file(true) : fd;
  NativeRequests requests = native_requests(4);
  auto use = [&](unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      NativeContext context(1 + i % 300, kEveryWay[i % 3]);
      if (i % 2) continue;
      for (unsigned r = 0; r < 4; ++r) requests[r]->read(r % 2 ? direct : fd, random_below(1024) * 4096);
      if (i % 300 >= 4) context.submit(requests);
      if (i % 4) context.finish();  // else io_destroy waits for them
    }
  };
  use(100);
  sleep_ms(1300);  // workers retire
  const unsigned mappings = mapping_count();
  const long resident = resident_bytes();
  use(trials(1000));
  sleep_ms(1300);
  printf("%u mappings, then %u; %ld KiB more resident\n", mappings, mapping_count(),
         (resident_bytes() - resident) / 1024);
  fflush(stdout);
  if (is_sanitized()) return;
  if (mapping_count() > mappings + 4) FAIL("%u mappings became %u", mappings, mapping_count());
  if (resident_bytes() - resident > kSpareBytes / 2)
    FAIL("%ld KiB more resident", (resident_bytes() - resident) / 1024);
}
