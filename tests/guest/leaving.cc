// leaving.cc - what is left of a burst of requests when it is over: no processor time, hardly a thread, and no memory.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

using namespace guest;

namespace {

constexpr unsigned kRequests = 100000;
constexpr unsigned kPipes = 64;
constexpr size_t kFileBytes = 8 << 20;
constexpr size_t kRequestBytes = 512;
constexpr long kSpareBytes = 1 << 20;

}  // namespace

GUEST_PROPERTY(nothing_is_left_of_a_burst_of_a_hundred_thousand_requests) {
  const unsigned count = trials(kRequests);
  CHECK(setenv("AIOX_QUEUE_MAX", "200000", 1) == 0);
  int buffered = pattern_file(kFileBytes), written = pattern_file(kFileBytes);
  int direct = pattern_file(kFileBytes, O_DIRECT);
  int read_ends[kPipes], write_ends[kPipes];
  for (unsigned i = 0; i < kPipes; ++i) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    read_ends[i] = ends[0], write_ends[i] = ends[1];
  }
  // Everything of the program's own, touched.
  std::vector<aiocb> blocks(count);
  memset(static_cast<void*>(blocks.data()), 0xff, count * sizeof(aiocb));
  auto* buffers = static_cast<unsigned char*>(aligned_alloc(4096, count * kRequestBytes));
  CHECK(buffers != nullptr);
  memset(buffers, 0xff, count * kRequestBytes);
  char byte = 'x';
  printf("%ld bytes before\n", resident_bytes());
  (void)thread_count(), processor_seconds();
  drop_cache(buffered);
  const long before = resident_bytes();

  unsigned in_pipes = 0;
  for (unsigned i = 0; i < count; ++i) {
    aiocb& block = blocks[i];
    block = {};
    block.aio_sigevent.sigev_notify = SIGEV_NONE;
    block.aio_buf = buffers + size_t(i) * kRequestBytes;
    block.aio_nbytes = kRequestBytes;
    block.aio_offset = off_t(random_below(kFileBytes / kRequestBytes) * kRequestBytes);
    switch (i % 8) {
      case 0: case 1: case 2: block.aio_fildes = buffered; break;
      case 3: case 4: case 5: block.aio_fildes = direct >= 0 ? direct : buffered; break;
      case 6: block.aio_fildes = written; break;
      default:
        block.aio_fildes = read_ends[in_pipes++ % kPipes];
        block.aio_nbytes = 1;
    }
    int result = i % 8 == 6 ? aio_write(&block) : aio_read(&block);
    if (result != 0) FAIL("request %u: %s", i, strerror(errno));
  }
  for (unsigned i = 0; i < in_pipes; ++i) CHECK(write(write_ends[i % kPipes], &byte, 1) == 1);
  for (aiocb& block : blocks) {
    const aiocb* list[] = {&block};
    while (aio_error(&block) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    if (aio_return(&block) != ssize_t(block.aio_nbytes))
      FAIL("request %zu: %s", size_t(&block - blocks.data()), strerror(aio_error(&block)));
  }
  const long during = resident_bytes();
  unsigned threads = thread_count();
  sleep_ms(2000);
  const double begun = processor_seconds();
  sleep_ms(1000);
  const double used = processor_seconds() - begun;
  const long after = resident_bytes();
  printf("resident: %ld KiB more after the burst, %ld KiB more 3 s later; threads: %u, %u; %.3f ms of processor time\n",
         (during - before) / 1024, (after - before) / 1024, threads, thread_count(), used * 1000);
  fflush(stdout);
  CHECK(thread_count() <= 2);
  if (used > 0.002) FAIL("%.3f ms of processor time in a second of idleness", used * 1000);
  // glibc keeps the stacks of ended threads, of which there were many here (docs/compatibility.md, L-14).
  const char* backend = getenv("AIOX_BACKEND");
  const bool has_stacks = backend != nullptr && strcmp(backend, "threads") == 0;
  if (after - before > (has_stacks ? 2 : 1) * kSpareBytes)
    FAIL("%ld KiB more than before the first request", (after - before) / 1024);
}
