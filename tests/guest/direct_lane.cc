// direct_lane.cc - O_DIRECT requests from beginning to end: what they bring, who is told, and that nothing else in the
// process notices them. In auto they go by the direct lane; what is asked here holds for every backend.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "guest.h"
#include "slow_device.h"

using namespace guest;

namespace {

constexpr size_t kFileBytes = 16 << 20;
constexpr size_t kMiB = 1 << 20;

bool is_auto() {
  const char* backend = getenv("AIOX_BACKEND");
  return backend == nullptr || strcmp(backend, "auto") == 0;
}

// A file on the disk, with no page of it in the cache.
int direct_file(size_t bytes = kFileBytes, int flags = 0) {
  int fd = pattern_file(bytes, O_DIRECT | flags);
  if (fd < 0) skip("O_DIRECT is not supported here");
  drop_cache(fd);
  return fd;
}

using Requests = std::vector<std::unique_ptr<Request>>;

Requests make_requests(unsigned count, size_t bytes = 4096) {
  Requests requests;
  for (unsigned i = 0; i < count; ++i) requests.push_back(std::make_unique<Request>(bytes));
  return requests;
}

void read_anywhere(Requests& requests, int fd, size_t file_bytes = kFileBytes) {
  for (auto& request : requests) request->read(fd, random_below((file_bytes - request->size_bytes) / 4096) * 4096);
}

void finish(Requests& requests) {
  for (auto& request : requests) {
    request->wait_for_all();
    request->check_pattern();
  }
}

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

// Asks nothing of aiox meanwhile.
void sleep_until(const std::function<bool()>& is_done, const char* what) {
  for (double begin = now(); !is_done(); sleep_ms(1))
    if (now() - begin > 20) FAIL("never: %s", what);
}

struct Pipe {
  int ends[2];
  Pipe() { CHECK(pipe2(ends, O_CLOEXEC) == 0); }
  ~Pipe() { close(ends[0]), close(ends[1]); }
  void feed() { CHECK(write(ends[1], "0123456789abcdef", 16) == 16); }
};

int suspend(std::initializer_list<const Request*> requests, int timeout_ms = -1) {
  std::vector<const aiocb*> list;
  for (const Request* request : requests) list.push_back(&request->block);
  timespec timeout{timeout_ms / 1000, long(timeout_ms % 1000) * 1000000};
  int result = aio_suspend(list.data(), int(list.size()), timeout_ms < 0 ? nullptr : &timeout);
  return result == 0 ? 0 : errno;
}

}  // namespace

// ---- What it costs the process ----

GUEST_PROPERTY(direct_reads_at_depth_32_start_no_thread) {
  if (!is_auto() || !is_answered_by_aiox()) skip("only with the direct lane");
  if (is_sanitized()) skip("a sanitizer starts threads of its own");
  int fd = direct_file();
  const unsigned before = thread_count();
  auto expect_none = [&](const char* when) {
    unsigned count = thread_count();
    // The thread that looked whether there is io_uring may be on its way out; a service thread would stay for a second.
    for (unsigned tries = 0; tries < 50 && count != before; ++tries) {
      sleep_ms(10);
      count = thread_count();
    }
    if (count != before && direct_refusals() == 0) FAIL("%u threads %s, %u before", count, when, before);
  };
  Requests requests = make_requests(32);
  for (unsigned round = 0; round < trials(50); ++round) {
    read_anywhere(requests, fd);
    expect_none("with reads in flight");
    if (round % 2) {
      finish(requests);
    } else {
      for (auto& request : requests) {
        while (!request->is_done()) sched_yield();
        request->wait_for_all();
        request->check_pattern();
      }
    }
  }
  std::vector<aiocb*> list;
  for (auto& request : requests) {
    request->block.aio_lio_opcode = LIO_READ;
    list.push_back(&request->block);
  }
  for (int mode : {LIO_WAIT, LIO_NOWAIT}) {
    CHECK(lio_listio(mode, list.data(), 32, nullptr) == 0);
    expect_none("after lio_listio");
    finish(requests);
  }
  if (direct_completions() == 0) skip("this file system does not take requests of the direct lane");
  read_anywhere(requests, fd);
  close(fd);
  expect_none("after close with reads in flight");
  finish(requests);
}

GUEST_PROPERTY(more_direct_reads_than_the_ring_has_room_for) {
  int fd = direct_file();
  Requests requests = make_requests(3000, 512);
  for (unsigned round = 0; round < trials(2); ++round) {
    read_anywhere(requests, fd);
    finish(requests);
  }
  std::vector<aiocb*> list;
  for (auto& request : requests) {
    request->fill(0);
    request->block.aio_lio_opcode = LIO_READ;
    list.push_back(&request->block);
  }
  CHECK(lio_listio(LIO_WAIT, list.data(), int(list.size()), nullptr) == 0);
  for (auto& request : requests) {
    CHECK(aio_error(&request->block) == 0 && aio_return(&request->block) == ssize_t(request->size_bytes));
    request->check_pattern();
  }
}

GUEST_PROPERTY(descriptor_table_is_unchanged_by_direct_requests) {
  if (is_thread_sanitized()) skip("ThreadSanitizer itself opens files now and then");
  int fd = direct_file();
  Requests requests = make_requests(64);
  std::string before = descriptor_table();
  for (unsigned round = 0; round < trials(20); ++round) {
    read_anywhere(requests, fd);
    CHECK(descriptor_table() == before);
    finish(requests);
    CHECK(descriptor_table() == before);
  }
}

// ---- What they bring ----

namespace {

void fill_salted(Request& request, uint64_t offset, unsigned salt) {
  for (size_t at = 0; at < request.size_bytes; at += kBlockBytes)
    memset(request.buffer + at, block_byte((offset + at) / kBlockBytes, salt), kBlockBytes);
}

void expect_salted(const Request& request, uint64_t offset, unsigned salt) {
  for (size_t at = 0; at < request.size_bytes; at += kBlockBytes) {
    unsigned char expected = block_byte((offset + at) / kBlockBytes, salt);
    if (request.buffer[at] != expected || memcmp(request.buffer + at, request.buffer + at + 1, kBlockBytes - 1) != 0)
      FAIL("the block at %llu holds %d, not %d", static_cast<unsigned long long>(offset + at), request.buffer[at],
           expected);
  }
}

}  // namespace

GUEST_PROPERTY(large_direct_requests_bring_every_byte) {
  std::vector<size_t> sizes = {kMiB, kMiB + 512, 3 * kMiB + 512, 17 * kMiB};
  if (is_auto() && !is_sanitized()) sizes.insert(sizes.end(), {64 * kMiB, 100 * kMiB});
  int fd = direct_file(4096);
  unsigned salt = 0;
  for (size_t bytes : sizes) {
    Request request(bytes);
    // Twice: where there is no block of the file yet, and where there is.
    for (int time = 0; time < 2; ++time) {
      const uint64_t offset = 4096 + 512 * unsigned(time);
      fill_salted(request, offset, ++salt);
      request.write(fd, offset);
      request.wait_for_all();
      request.read(fd, offset);
      request.wait_for_all();
      expect_salted(request, offset, salt);
    }
    // As other readers see it, and side by side with a neighbour.
    request.fill(0);
    CHECK(pread(fd, request.buffer, bytes, 4096 + 512) == ssize_t(bytes));
    expect_salted(request, 4096 + 512, salt);
    Request first(bytes), second(bytes);
    first.read(fd, 4096 + 512);
    second.read(fd, 4096 + 512);
    second.wait_for_all();
    first.wait_for_all();
    expect_salted(first, 4096 + 512, salt);
    expect_salted(second, 4096 + 512, salt);
    CHECK(ftruncate(fd, 4096) == 0);
  }
}

namespace {

enum class Transfers { kAlignedOrSmall, kLargeMisalignedReads };

// Whatever pread and pwrite answer on a file of the same content: short counts at the end of the file, errors, zeros in
// holes.
void compare_with_plain_calls(Transfers transfers) {
  constexpr size_t kRoomBytes = 4 * kMiB + 8192;
  // 0 and 1 by aiox and by plain calls. 2 and 3 the same for misaligned writes: those may have written a part before
  // they failed, how much hangs on the extents of the file.
  int fds[4] = {-1, -1, -1, -1};
  auto refresh = [&] {
    for (int& fd : fds) {
      if (fd >= 0) close(fd);
      fd = direct_file(3 * kMiB + 700);  // ends in the middle of a block
      CHECK(ftruncate(fd, 5 * kMiB) == 0 && ftruncate(fd, off_t(4 * kMiB + 512 * 3 + 100)) == 0);  // ends in a hole
      drop_cache(fd);
    }
  };
  auto* buffer = static_cast<unsigned char*>(aligned_alloc(4096, kRoomBytes));
  auto* expected = static_cast<unsigned char*>(aligned_alloc(4096, kRoomBytes));
  const off_t places[] = {0, 512, 3 * kMiB, 3 * kMiB + 512, 3 * kMiB + 1024, 4 * kMiB, 4 * kMiB + 1024, 4 * kMiB + 1536,
                          4 * kMiB + 2048, 5 * kMiB};
  const size_t lengths[] = {0, 1, 100, 511, 512, 513, 4096, 5000, 65536, kMiB, kMiB + 512, 2 * kMiB + 1024, 4 * kMiB};
  unsigned shorts = 0, errors = 0, wholes = 0;
  const unsigned count = trials(transfers == Transfers::kLargeMisalignedReads ? 1200 : 900);
  for (unsigned i = 0; i < count; ++i) {
    if (i % 300 == 0) refresh();
    off_t offset = places[random_below(std::size(places))];
    if (random_below(3) == 0) offset = off_t(random_below(9 * kMiB / 512)) * 512;
    if (random_below(4) == 0) offset += off_t(random_below(1024));
    size_t bytes = lengths[random_below(std::size(lengths))];
    size_t skip_bytes = random_below(4) ? 0 : random_below(2) ? 512 : random_below(600);
    bool is_write = random_below(4) == 0;
    if (is_write && bytes > 65536) bytes = 65536;
    bool is_misaligned = (size_t(offset) | bytes | skip_bytes) % 512 != 0;
    bool is_large_misaligned_read = is_misaligned && !is_write && bytes > 65536;
    if (is_large_misaligned_read != (transfers == Transfers::kLargeMisalignedReads) && !is_write) continue;
    for (size_t at = 0; at < bytes; ++at) expected[skip_bytes + at] = static_cast<unsigned char>(i + at / 512);
    memcpy(buffer + skip_bytes, expected + skip_bytes, bytes);
    const int* pair = is_write && is_misaligned ? fds + 2 : fds;
    errno = 0;
    ssize_t plain = is_write ? pwrite(pair[1], expected + skip_bytes, bytes, offset)
                             : pread(pair[1], expected + skip_bytes, bytes, offset);
    int plain_error = plain < 0 ? errno : 0;
    aiocb block{};
    block.aio_fildes = pair[0];
    block.aio_offset = offset;
    block.aio_buf = buffer + skip_bytes;
    block.aio_nbytes = bytes;
    block.aio_sigevent.sigev_notify = SIGEV_NONE;
    CHECK((is_write ? aio_write(&block) : aio_read(&block)) == 0);
    const aiocb* list[] = {&block};
    int error;
    while ((error = aio_error(&block)) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    ssize_t result = aio_return(&block);
    if (result != plain || error != plain_error)
      FAIL("%s of %zu at %lld, buffer %zu off: %zd (%s), the plain call %zd (%s)", is_write ? "write" : "read", bytes,
           static_cast<long long>(offset), skip_bytes, result, strerror(error), plain, strerror(plain_error));
    for (ssize_t at = 0; !is_write && at < plain; ++at)
      if (buffer[skip_bytes + size_t(at)] != expected[skip_bytes + size_t(at)])
        FAIL("byte %zd of the %zd read at %lld, buffer %zu off, is %d, the plain call's %d", at, plain,
             static_cast<long long>(offset), skip_bytes, buffer[skip_bytes + size_t(at)],
             expected[skip_bytes + size_t(at)]);
    (plain < 0 ? errors : size_t(plain) < bytes ? shorts : wholes)++;
  }
  struct stat status[2];
  for (int which : {0, 1}) CHECK(fstat(fds[which], &status[which]) == 0);
  CHECK(status[0].st_size == status[1].st_size);
  for (off_t at = 0; at < status[0].st_size; at += off_t(kMiB)) {
    ssize_t got = pread(fds[0], buffer, kMiB, at);
    CHECK(got == pread(fds[1], expected, kMiB, at));
    if (got > 0) CHECK(memcmp(buffer, expected, size_t(got)) == 0);
  }
  printf("%u whole, %u short, %u errors\n", wholes, shorts, errors);
  free(buffer), free(expected);
}

}  // namespace

GUEST_PROPERTY(direct_requests_answer_as_pread_and_pwrite_do) { compare_with_plain_calls(Transfers::kAlignedOrSmall); }

// A read that would be cut: no part of it may succeed where the whole is EINVAL (seen in holes).
GUEST_PROPERTY(large_misaligned_direct_reads_answer_as_pread_does) {
  compare_with_plain_calls(Transfers::kLargeMisalignedReads);
}

GUEST_PROPERTY(extending_direct_writes_side_by_side_make_the_whole_file) {
  int fd = direct_file(512);
  for (unsigned round = 0; round < trials(10); ++round) {
    CHECK(ftruncate(fd, 0) == 0);
    Requests writes = make_requests(64, 8192);
    for (unsigned i = 0; i < 64; ++i) {
      unsigned place = i * 37 % 64;
      fill_salted(*writes[i], place * 8192, round);
      writes[i]->write(fd, place * 8192);
    }
    for (auto& write : writes) write->wait_for_all();
    struct stat status;
    CHECK(fstat(fd, &status) == 0 && status.st_size == 64 * 8192);
    Request all(64 * 8192);
    all.read(fd, 0);
    all.wait_for_all();
    expect_salted(all, 0, round);
  }
}

GUEST_PROPERTY(direct_reads_see_what_buffered_writes_wrote) {
  std::string path = scratch_path("both");
  int direct = pattern_file_at(path, 256 * 4096, O_DIRECT);
  if (direct < 0) skip("O_DIRECT is not supported here");
  int buffered = open(path.c_str(), O_RDWR | O_CLOEXEC);
  unlink(path.c_str());
  Requests reads = make_requests(16);
  for (unsigned round = 0; round < trials(300); ++round) {
    unsigned char page[4096];
    for (unsigned i = 0; i < 16; ++i) {
      for (size_t at = 0; at < sizeof page; at += kBlockBytes)
        memset(page + at, block_byte((i * 4096 + at) / kBlockBytes, round), kBlockBytes);
      CHECK(pwrite(buffered, page, sizeof page, i * 4096) == 4096);
      reads[i]->read(direct, i * 4096);
    }
    for (unsigned i = 0; i < 16; ++i) {
      reads[i]->wait_for_all();
      expect_salted(*reads[i], i * 4096, round);
    }
  }
}

// O_DIRECT can come and go while the descriptor is in use.
GUEST_PROPERTY(direct_can_be_switched_with_requests_in_flight) {
  int fd = direct_file();
  int flags = fcntl(fd, F_GETFL);
  Requests reads = make_requests(16), writes = make_requests(4);
  for (unsigned round = 0; round < trials(100); ++round) {
    read_anywhere(reads, fd, kFileBytes / 2);
    CHECK(fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0);
    for (unsigned i = 0; i < 4; ++i) {
      fill_salted(*writes[i], kFileBytes / 2 + i * 4096, round);
      writes[i]->write(fd, kFileBytes / 2 + i * 4096);
    }
    finish(reads);
    read_anywhere(reads, fd, kFileBytes / 2);
    CHECK(fcntl(fd, F_SETFL, flags) == 0);
    for (auto& write : writes) write->wait_for_all();
    Request all(4 * 4096);
    all.read(fd, kFileBytes / 2);
    all.wait_for_all();
    expect_salted(all, kFileBytes / 2, round);
    finish(reads);
  }
}

// ---- Who is told ----

namespace {

constexpr unsigned kNotified = 64;
std::atomic<unsigned> g_told[kNotified];

void told_by_signal(int, siginfo_t* info, void*) { g_told[info->si_value.sival_int].fetch_add(1); }
void told_by_thread(sigval value) { g_told[value.sival_int].fetch_add(1); }

sigevent event_of(int method, int index) {
  sigevent event{};
  event.sigev_notify = method;
  event.sigev_signo = SIGRTMIN + 3;
  event.sigev_value.sival_int = index;
  if (method == SIGEV_THREAD) event.sigev_notify_function = told_by_thread;
  return event;
}

void listen() {
  struct sigaction action {};
  action.sa_sigaction = told_by_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  CHECK(sigaction(SIGRTMIN + 3, &action, nullptr) == 0);
  for (auto& count : g_told) count = 0;
}

void submit(Request& request, bool is_write, int fd, uint64_t offset, sigevent event) {
  request.block = {};
  request.block.aio_fildes = fd;
  request.block.aio_offset = off_t(offset);
  request.block.aio_buf = request.buffer;
  request.block.aio_nbytes = request.size_bytes;
  request.block.aio_sigevent = event;
  CHECK((is_write ? aio_write(&request.block) : aio_read(&request.block)) == 0);
}

const sigevent kNobody = [] {
  sigevent event{};
  event.sigev_notify = SIGEV_NONE;
  return event;
}();

void expect_ended(const Request& request) {
  // Once: had nobody seen to it, this would be the first to ask.
  int error = aio_error(&request.block);
  if (error != 0) FAIL("not ended by itself: %s", strerror(error));
  CHECK(aio_return(const_cast<aiocb*>(&request.block)) == ssize_t(request.size_bytes));
}

void tell_all(int method) {
  if (is_thread_sanitized() && method == SIGEV_SIGNAL) skip("ThreadSanitizer keeps one signal per number");
  listen();
  int fd = direct_file();
  Requests requests = make_requests(kNotified), plain = make_requests(16);
  for (unsigned round = 0; round < trials(12); ++round) {
    for (auto& count : g_told) count = 0;
    if (round % 3 == 1) read_anywhere(plain, fd);  // some that nobody is told of
    for (unsigned i = 0; i < kNotified; ++i)
      submit(*requests[i], false, fd, random_below(kFileBytes / 4096) * 4096, event_of(method, int(i)));
    sleep_until([] { return std::all_of(std::begin(g_told), std::end(g_told), [](auto& count) { return count > 0; }); },
                "a notification of each of 64 reads");
    for (auto& request : requests) {
      expect_ended(*request);
      request->check_pattern();
    }
    if (round % 3 == 1) finish(plain);
    for (auto& count : g_told) CHECK(count == 1);
    sleep_ms(unsigned(random_below(40)));  // service threads come and go meanwhile
  }
}

}  // namespace

GUEST_PROPERTY(direct_reads_send_their_signal_with_nobody_waiting) {
  setenv("AIOX_IDLE_MS", "10", 1);
  tell_all(SIGEV_SIGNAL);
}

GUEST_PROPERTY(direct_reads_call_back_with_nobody_waiting) {
  setenv("AIOX_IDLE_MS", "10", 1);
  tell_all(SIGEV_THREAD);
}

GUEST_PROPERTY(a_list_of_direct_reads_notifies_once_with_nobody_waiting) {
  listen();
  int fd = direct_file();
  Requests requests = make_requests(100);
  for (int method : {SIGEV_SIGNAL, SIGEV_THREAD})
    for (unsigned round = 0; round < trials(10); ++round) {
      g_told[5] = 0;
      std::vector<aiocb*> list;
      for (auto& request : requests) {
        request->block = {};
        request->block.aio_fildes = fd;
        request->block.aio_lio_opcode = LIO_READ;
        request->block.aio_offset = off_t(random_below(kFileBytes / 4096)) * 4096;
        request->block.aio_buf = request->buffer;
        request->block.aio_nbytes = request->size_bytes;
        request->block.aio_sigevent.sigev_notify = SIGEV_NONE;
        list.push_back(&request->block);
      }
      sigevent event = event_of(method, 5);
      CHECK(lio_listio(LIO_NOWAIT, list.data(), int(list.size()), &event) == 0);
      sleep_until([] { return g_told[5] > 0; }, "the notification of a list");
      for (auto& request : requests) {
        expect_ended(*request);
        request->check_pattern();
      }
      CHECK(g_told[5] == 1);
    }
}

// An fsync, and a write of the same bytes, stand behind requests that nobody waits for.
GUEST_PROPERTY(what_stands_behind_direct_requests_goes_on_with_nobody_waiting) {
  setenv("AIOX_IDLE_MS", "10", 1);
  listen();
  int fd = direct_file();
  Request first(64 * 1024), second(64 * 1024), third(64 * 1024), sync;
  for (unsigned round = 0; round < trials(20); ++round) {
    g_told[0] = 0;
    first.fill(1), second.fill(2), third.fill(static_cast<unsigned char>(3 + round));
    submit(first, true, fd, 0, kNobody);
    submit(second, true, fd, 32 * 1024, kNobody);
    submit(third, true, fd, 0, kNobody);
    sync.block = {};
    sync.block.aio_fildes = fd;
    sync.block.aio_sigevent = event_of(round % 2 ? SIGEV_THREAD : SIGEV_SIGNAL, 0);
    CHECK(aio_fsync(round % 4 < 2 ? O_SYNC : O_DSYNC, &sync.block) == 0);
    sleep_until([] { return g_told[0] > 0; }, "the notification of an fsync");
    CHECK(aio_error(&sync.block) == 0);
    for (Request* request : {&first, &second, &third}) expect_ended(*request);
    CHECK(pread(fd, first.buffer, first.size_bytes, 0) == ssize_t(first.size_bytes));
    CHECK(first.buffer[0] == 3 + round && first.buffer[40 * 1024] == 3 + round);
    sleep_ms(unsigned(random_below(30)));
  }
}

GUEST_PROPERTY(a_write_behind_a_held_direct_read_ends_with_nobody_asking) {
  SlowDevice device;
  int fd = device.open_direct();
  for (unsigned round = 0; round < trials(4); ++round) {
    device.hold();
    Request read(16384), write(16384);
    write.fill(static_cast<unsigned char>(200 + round));
    read.read(fd, 0);
    write.write(fd, 8192);
    sleep_ms(30);
    CHECK(!write.is_done() && !read.is_done());
    device.release();
    Request seen(4096);
    sleep_until(
        [&] {
          CHECK(pread(fd, seen.buffer, 4096, 8192) == 4096);
          return seen.buffer[0] == 200 + round;
        },
        "a write behind a read");
    sleep_ms(50);
    expect_ended(write);
    expect_ended(read);
    CHECK(read.buffer[8192] != 200 + round);  // it was before the write
  }
}

// ---- Waiting ----

GUEST_PROPERTY(a_wait_for_several_kinds_ends_with_whichever_is_first) {
  SlowDevice device;
  int slow = device.open_direct(), direct = direct_file(), cold = pattern_file(kFileBytes);
  for (unsigned round = 0; round < trials(8); ++round) {
    Pipe pipe;
    Request held, stream(16);
    device.hold();
    held.read(slow, random_below(SlowDevice::kBytes / 4096) * 4096);
    stream.read(pipe.ends[0], 0);
    double begin = now();
    CHECK(suspend({&held, &stream}, 30) == EAGAIN);
    CHECK(now() - begin >= 0.03 && now() - begin < 10);
    CHECK(suspend({&held}, 30) == EAGAIN);
    CHECK(suspend({&held, &stream}, 0) == EAGAIN);
    // A read of the disk is first.
    Request other;
    drop_cache(cold);
    other.read(round % 2 ? cold : direct, random_below(kFileBytes / 4096) * 4096);
    CHECK(suspend({&held, &stream, &other}, round % 3 ? 30000 : -1) == 0);
    CHECK(other.is_done() && !held.is_done() && !stream.is_done());
    other.check_pattern();
    // The pipe is first.
    std::thread feeder([&] {
      sleep_ms(10);
      pipe.feed();
    });
    CHECK(suspend({&held, &stream}, round % 3 ? 30000 : -1) == 0);
    CHECK(stream.is_done() && !held.is_done());
    feeder.join();
    // The device is first.
    stream.read(pipe.ends[0], 0);
    std::thread opener([&] {
      sleep_ms(10);
      device.release();
    });
    CHECK(suspend({&stream, &held}, round % 3 ? 30000 : -1) == 0);
    CHECK(held.is_done() && !stream.is_done());
    opener.join();
    held.wait_for_all();
    held.check_pattern();
    pipe.feed();
    stream.wait_for_all();
  }
}

// One of them sleeps for all; the others must be woken for theirs, and take its place when it leaves.
GUEST_PROPERTY(each_of_several_waiting_threads_wakes_for_its_own) {
  SlowDevice device;
  int slow = device.open_direct(), direct = direct_file();
  constexpr unsigned kThreads = 6;
  for (unsigned round = 0; round < trials(6); ++round) {
    std::vector<Pipe> pipes(kThreads);
    Requests held = make_requests(kThreads), streams = make_requests(kThreads, 16);
    device.hold();
    for (unsigned i = 0; i < kThreads; ++i) {
      held[i]->read(slow, i * 8192);
      streams[i]->read(pipes[i].ends[0], 0);
    }
    std::atomic<unsigned> woken{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; ++i)
      threads.emplace_back([&, i] {
        if (i % 3 == 2) sleep_ms(5);
        if (i % 2) {
          CHECK(suspend({held[i].get(), streams[i].get()}, i % 3 ? 30000 : -1) == 0);
          CHECK(streams[i]->is_done() && !held[i]->is_done());
          woken.fetch_add(1);
        } else if (i % 4 == 0) {
          CHECK(suspend({held[i].get()}, 20 + int(i) * 10) == EAGAIN);  // leaves, and another must lead
        }
        CHECK(suspend({held[i].get()}) == 0);
        held[i]->wait_for_all();
        held[i]->check_pattern();
      });
    // Reads of this thread end although others sleep.
    Request own;
    own.read(direct, 4096);
    own.wait_for_all();
    own.check_pattern();
    for (unsigned i = 1; i < kThreads; i += 2) {
      sleep_ms(8);
      pipes[i].feed();
      for (double begin = now(); woken < (i + 1) / 2; sleep_ms(1))
        if (now() - begin > 20) FAIL("thread %u was not woken by its pipe", i);
    }
    sleep_ms(70);
    device.release();
    for (auto& thread : threads) thread.join();
    for (unsigned i = 0; i < kThreads; i += 2) pipes[i].feed();
    for (auto& stream : streams) stream->wait_for_all();
  }
}

GUEST_PROPERTY(many_threads_wait_for_mixed_lists_at_once) {
  int direct = direct_file();
  std::string path = scratch_path("mixed");
  int cold = pattern_file_at(path, kFileBytes, 0);
  unlink(path.c_str());
  const double seconds = is_auto() ? 2.5 : 0.5;
  const double begin = now();
  const uint64_t seed = g_seed;
  std::atomic<unsigned> lists{0};
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < 4; ++id)
    threads.emplace_back([&, id] {
      uint64_t state = seed + id;
      auto next = [&](uint64_t bound) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (state >> 33) % bound;
      };
      while (now() - begin < seconds) {
        Requests requests = make_requests(6);
        Pipe pipe;
        Request stream(16);
        if (next(4) == 0) drop_cache(cold);
        bool is_list = next(2) == 0;
        std::vector<aiocb*> list;
        for (auto& request : requests) {
          int fd = next(3) ? direct : cold;
          uint64_t offset = next(kFileBytes / 4096) * 4096;
          if (!is_list) {
            request->read(fd, offset);
            continue;
          }
          request->block = {};
          request->block.aio_fildes = fd;
          request->block.aio_lio_opcode = LIO_READ;
          request->block.aio_offset = off_t(offset);
          request->block.aio_buf = request->buffer;
          request->block.aio_nbytes = request->size_bytes;
          request->block.aio_sigevent.sigev_notify = SIGEV_NONE;
          list.push_back(&request->block);
        }
        if (is_list) {
          int mode = next(3) ? LIO_WAIT : LIO_NOWAIT;
          CHECK(lio_listio(mode, list.data(), int(list.size()), nullptr) == 0);
          if (mode == LIO_WAIT)
            for (auto& request : requests) CHECK(aio_error(&request->block) == 0);
        }
        bool has_stream = next(2) == 0;
        if (has_stream) stream.read(pipe.ends[0], 0);
        for (;;) {
          std::vector<const aiocb*> open;
          for (auto& request : requests)
            if (!request->is_done()) open.push_back(&request->block);
          if (open.empty()) break;
          if (has_stream) open.push_back(&stream.block);
          timespec timeout{0, long(next(400000))};
          int result = aio_suspend(open.data(), int(open.size()), next(2) ? nullptr : &timeout);
          CHECK(result == 0 || errno == EAGAIN);
          if (result != 0) continue;
          unsigned ended = 0;
          for (const aiocb* block : open) ended += aio_error(block) != EINPROGRESS;
          CHECK(ended > 0);
        }
        finish(requests);
        if (has_stream) {
          CHECK(!stream.is_done());
          pipe.feed();
          stream.wait_for_all();
        }
        lists.fetch_add(1);
      }
    });
  for (auto& thread : threads) thread.join();
  printf("%u lists\n", lists.load());
}

GUEST_PROPERTY(direct_reads_outlive_their_thread_when_polled_by_another) {
  int fd = direct_file();
  for (unsigned round = 0; round < trials(40); ++round) {
    Requests requests = make_requests(64);
    std::thread([&] { read_anywhere(requests, fd); }).join();
    for (auto& request : requests) {
      while (!request->is_done()) sched_yield();
      request->wait_for_all();
      request->check_pattern();
    }
  }
}

// ---- Signals, stops and cancellation ----

GUEST_PROPERTY(stopping_and_continuing_does_not_end_a_wait_for_direct_reads) {
  int fd = direct_file();
  pid_t child = fork_child([fd] {
    Requests requests = make_requests(4);
    for (;;) {
      read_anywhere(requests, fd);
      for (auto& request : requests)
        while (!request->is_done()) {
          int error = suspend({request.get()}, random_below(2) ? -1 : 20000);
          if (error != 0) FAIL("aio_suspend: %s", strerror(error));
        }
      finish(requests);
    }
  });
  for (unsigned i = 0; i < trials(150); ++i) {
    usleep(unsigned(random_below(2000)));
    CHECK(kill(child, SIGSTOP) == 0);
    int status;
    CHECK(waitpid(child, &status, WUNTRACED) == child);
    if (!WIFSTOPPED(status)) FAIL("the child ended: %d", status);
    CHECK(kill(child, SIGCONT) == 0);
  }
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, nullptr, 0) == child);
}

GUEST_PROPERTY(stopping_and_continuing_does_not_end_a_wait_for_a_held_direct_read) {
  SlowDevice device;
  int fd = device.open_direct();
  device.hold();
  for (int timeout_ms : {-1, 20000}) {
    device.hold();
    pid_t child = fork_child([&] {
      Request request;
      request.read(fd, 8192);
      int error = suspend({&request}, timeout_ms);
      if (error != 0) FAIL("aio_suspend: %s", strerror(error));
      request.wait_for_all();
      request.check_pattern();
    });
    // Not waited for until it has stopped: where a thread does the read, that thread stops after it only.
    for (int i = 0; i < 5; ++i) {
      sleep_ms(10);
      CHECK(kill(child, SIGSTOP) == 0);
      sleep_ms(10);
      CHECK(kill(child, SIGCONT) == 0);
    }
    sleep_ms(15);
    device.release();
    expect_clean_exit(child);
  }
}

namespace {
void do_nothing(int) {}
}  // namespace

// As for every other kind of request: a handler ends a wait with a timeout, and one without unless it has SA_RESTART.
GUEST_PROPERTY(handlers_end_waits_for_direct_reads_as_they_do_for_others) {
  SlowDevice device;
  int fd = device.open_direct();
  {
    Request first;
    first.read(fd, 0);
    first.wait_for_all();
  }
  // With two to wait for: a thread that waits for one alone may read for itself, and no handler ends a read of a disk.
  const bool has_lane = direct_completions() > 0;
  struct Row {
    int flags, timeout_ms, expected;
  };
  for (Row row : {Row{0, -1, EINTR}, Row{0, 20000, EINTR}, Row{SA_RESTART, 20000, EINTR}, Row{SA_RESTART, -1, 0}})
    for (bool is_alone : {false, true}) {
      if (is_alone && !has_lane) continue;
      struct sigaction action {};
      action.sa_handler = do_nothing;
      action.sa_flags = row.flags;
      sigaction(SIGUSR1, &action, nullptr);
      device.hold();
      Request request, stream(16);
      Pipe pipe;
      request.read(fd, 0);
      stream.read(pipe.ends[0], 0);
      pthread_t waiter = pthread_self();
      std::thread other([&] {
        sleep_ms(30);
        pthread_kill(waiter, SIGUSR1);
        sleep_ms(30);
        device.release();
      });
      int error = is_alone ? suspend({&request}, row.timeout_ms) : suspend({&request, &stream}, row.timeout_ms);
      if (error != row.expected)
        FAIL("flags %x, timeout %d, %s: %s", unsigned(row.flags), row.timeout_ms, is_alone ? "alone" : "with a pipe",
             strerror(error));
      other.join();
      request.wait_for_all();
      request.check_pattern();
      pipe.feed();
      stream.wait_for_all();
    }
}

namespace {

std::vector<const aiocb*> g_handlers_list;
std::atomic<int> g_handlers_answer{-1};

void wait_in_handler(int) {
  int saved_errno = errno;
  int result = aio_suspend(g_handlers_list.data(), int(g_handlers_list.size()), nullptr);
  g_handlers_answer = result == 0 ? 0 : errno;
  errno = saved_errno;
}

}  // namespace

// The interrupted wait may be the one that sleeps for all; then the handler's must not be without anybody who looks.
GUEST_PROPERTY(a_handler_in_a_wait_for_direct_reads_may_wait_for_several_kinds) {
  SlowDevice device;
  int slow = device.open_direct();
  struct sigaction action {};
  action.sa_handler = wait_in_handler;
  sigaction(SIGUSR1, &action, nullptr);
  for (unsigned round = 0; round < trials(8); ++round) {
    Request first, second, stream(16);
    Pipe pipe;
    const bool has_other_waiter = round % 2, is_stream_first = round % 4 >= 2;
    device.hold();
    first.read(slow, 0);
    second.read(slow, 4096);
    stream.read(pipe.ends[0], 0);
    g_handlers_list = {&stream.block, &second.block};
    g_handlers_answer = -1;
    pthread_t waiter = pthread_self();
    std::thread helper([&] {
      sleep_ms(20);
      pthread_kill(waiter, SIGUSR1);
      sleep_ms(20);
      CHECK(g_handlers_answer == -1);
      if (is_stream_first) pipe.feed();
      else device.release();
      for (double begin = now(); g_handlers_answer == -1; sleep_ms(1))
        if (now() - begin > 10)
          FAIL("the handler's wait does not end, though %s", is_stream_first ? "the pipe was fed" : "the read did");
      if (is_stream_first) device.release();
      else pipe.feed();
    });
    std::thread other;
    if (has_other_waiter) other = std::thread([&] { second.wait(); });
    int error = suspend({&first}, 20000);
    CHECK(error == EINTR || error == 0);
    CHECK(g_handlers_answer == 0);
    helper.join();
    if (other.joinable()) other.join();
    for (Request* read : {&first, &second}) {
      read->wait_for_all();
      read->check_pattern();
    }
    stream.wait_for_all();
  }
}

// Somebody else sleeps for all, a wait of this thread would take over, and its handler waits, too: that one must take
// over.
GUEST_PROPERTY(a_handlers_wait_for_direct_reads_goes_on_when_the_one_who_slept_for_all_leaves) {
  SlowDevice device;
  int slow = device.open_direct();
  struct sigaction action {};
  action.sa_handler = wait_in_handler;
  sigaction(SIGUSR1, &action, nullptr);
  for (unsigned round = 0; round < trials(4); ++round) {
    Requests reads = make_requests(3);
    device.hold();
    for (unsigned i = 0; i < 3; ++i) reads[i]->read(slow, i * 4096);
    g_handlers_list = {&reads[2]->block};
    g_handlers_answer = -1;
    std::thread leader([&] { CHECK(suspend({reads[0].get()}, 80) == EAGAIN); });
    sleep_ms(15);
    pthread_t waiter = pthread_self();
    std::thread helper([&] {
      sleep_ms(20);
      pthread_kill(waiter, SIGUSR1);
      leader.join();
      CHECK(g_handlers_answer == -1);
      device.release();
      for (double begin = now(); g_handlers_answer == -1; sleep_ms(1))
        if (now() - begin > 10) FAIL("the handler's wait does not end, though the read did");
    });
    int error = suspend({reads[1].get()}, 20000);
    CHECK(error == EINTR || error == 0);
    helper.join();
    CHECK(g_handlers_answer == 0);
    finish(reads);
  }
}

// The interrupted wait goes on inside the kernel (SA_RESTART); it must still be there to be chosen.
GUEST_PROPERTY(a_wait_for_direct_reads_takes_over_also_after_a_handler_has_waited) {
  if (is_thread_sanitized()) skip("ThreadSanitizer runs no handler in a restarted wait");
  SlowDevice first, second;
  int held = first.open_direct(), other = second.open_direct();
  struct sigaction action {};
  action.sa_handler = wait_in_handler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  for (unsigned round = 0; round < trials(4); ++round) {
    Requests reads = make_requests(3);
    first.hold();
    second.hold();
    for (unsigned i = 0; i < 3; ++i) reads[i]->read(i < 2 ? held : other, i * 4096);
    sleep_ms(50);  // what no worker has begun, a waiter without a timeout would: then no signal is let in
    g_handlers_list = {&reads[2]->block};
    g_handlers_answer = -1;
    std::thread leader([&] { CHECK(suspend({reads[0].get()}, 120) == EAGAIN); });
    sleep_ms(15);
    pthread_t waiter = pthread_self();
    std::atomic<bool> is_over{false};
    std::thread helper([&] {
      sleep_ms(20);
      pthread_kill(waiter, SIGUSR1);
      sleep_ms(20);
      CHECK(g_handlers_answer == -1);
      second.release();
      for (double begin = now(); g_handlers_answer == -1; sleep_ms(1))
        if (now() - begin > 10) FAIL("the handler's wait does not end, though the read did");
      leader.join();
      first.release();
      for (double begin = now(); !is_over; sleep_ms(1))
        if (now() - begin > 10) FAIL("the interrupted wait does not end, though the read did");
    });
    // Without a timeout, so that it is restarted.
    CHECK(suspend({reads[1].get()}) == 0);
    is_over = true;
    helper.join();
    CHECK(g_handlers_answer == 0);
    finish(reads);
  }
}

GUEST_PROPERTY(direct_completions_interrupt_no_blocking_call) {
  SlowDevice device;
  int fd = device.open_direct();
  int set = epoll_create1(EPOLL_CLOEXEC);
  Pipe pipe;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const std::function<bool()> calls[] = {
      [&] {
        epoll_event event;
        return epoll_wait(set, &event, 1, 20) == 0;
      },
      [&] {
        pollfd entry{pipe.ends[0], POLLIN, 0};
        return poll(&entry, 1, 20) == 0;
      },
      [&] {
        timespec nap{0, 20000000};
        return nanosleep(&nap, nullptr) == 0;
      },
      [&] {
        timespec timeout{0, 20000000};
        return sigtimedwait(&signals, nullptr, &timeout) == -1 && errno == EAGAIN;
      }};
  for (unsigned i = 0; i < trials(20); ++i) {
    device.hold();
    Requests requests = make_requests(8);
    read_anywhere(requests, fd, SlowDevice::kBytes);
    std::thread other([&] {
      sleep_ms(8);
      device.release();
    });
    if (!calls[i % std::size(calls)]()) FAIL("call %u ended early: %s", i % 4, strerror(errno));
    other.join();
    finish(requests);
  }
}

namespace {

void suspend_for_ever(const Request* request, const Request* stream) {
  for (;;) {
    const aiocb* list[] = {&request->block, stream != nullptr ? &stream->block : nullptr};
    aio_suspend(list, 2, nullptr);
    if (request->is_done()) return;
  }
}

}  // namespace

// The one that is cancelled may be the one that sleeps for all.
GUEST_PROPERTY(cancelling_a_thread_in_a_wait_for_direct_reads_leaves_the_others_going) {
  SlowDevice device;
  int slow = device.open_direct(), direct = direct_file();
  for (unsigned round = 0; round < trials(10); ++round) {
    device.hold();
    Requests held = make_requests(4), streams = make_requests(4, 16);
    Pipe pipe;
    for (unsigned i = 0; i < 4; ++i) {
      held[i]->read(slow, i * 4096);
      streams[i]->read(pipe.ends[0], 0);
    }
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) {
      // Where no lane takes the read from here, a thread that waits for it alone does it itself, and cannot be
      // cancelled.
      bool is_alone = is_auto() && direct_completions() > 0 && round % 2 == 0;
      threads.emplace_back(suspend_for_ever, held[i].get(), is_alone ? nullptr : streams[i].get());
      if (round % 2) sleep_ms(2);
    }
    sleep_ms(10);
    unsigned first = unsigned(random_below(4)), second = (first + 1 + unsigned(random_below(3))) % 4;
    CHECK(pthread_cancel(threads[first].native_handle()) == 0);
    if (round % 3) CHECK(pthread_cancel(threads[second].native_handle()) == 0);
    threads[first].join();
    if (round % 3) threads[second].join();
    Request own;
    own.read(direct, 8192);
    own.wait_for_all();
    device.release();
    for (auto& thread : threads)
      if (thread.joinable()) thread.join();
    finish(held);
    for (int i = 0; i < 4; ++i) pipe.feed();
    for (auto& stream : streams) stream->wait_for_all();
  }
}

GUEST_PROPERTY(cancelling_threads_under_a_load_of_direct_reads) {
  int fd = direct_file();
  std::atomic<bool> is_over{false};
  std::atomic<unsigned> rounds{0};
  std::vector<std::thread> loads;
  for (int i = 0; i < 2; ++i)
    loads.emplace_back([&] {
      while (!is_over) {
        Requests requests = make_requests(8);
        read_anywhere(requests, fd);
        finish(requests);
        rounds.fetch_add(1);
      }
    });
  for (unsigned i = 0; i < trials(200); ++i) {
    Requests requests = make_requests(8);
    read_anywhere(requests, fd);
    std::thread victim([&] {
      for (auto& request : requests) suspend_for_ever(request.get(), nullptr);
    });
    usleep(unsigned(random_below(300)));
    pthread_cancel(victim.native_handle());
    victim.join();
    finish(requests);
  }
  unsigned seen = rounds;
  sleep_until([&] { return rounds > seen + 2; }, "progress of the other threads");
  is_over = true;
  for (auto& load : loads) load.join();
}

GUEST_PROPERTY(direct_requests_in_flight_are_not_cancelled_and_queued_ones_are) {
  SlowDevice device;
  int fd = device.open_direct();
  device.hold();
  Request read(16384), behind(16384);
  read.read(fd, 0);
  behind.write(fd, 8192);
  sleep_ms(20);
  CHECK(aio_cancel(fd, &read.block) == AIO_NOTCANCELED);
  CHECK(aio_cancel(fd, &behind.block) == AIO_CANCELED);
  CHECK(aio_error(&behind.block) == ECANCELED);
  CHECK(aio_cancel(fd, nullptr) == AIO_NOTCANCELED);
  CHECK(!read.is_done());
  device.release();
  read.wait_for_all();
  read.check_pattern();
  CHECK(aio_cancel(fd, nullptr) == AIO_ALLDONE);
}

// ---- fork, close, exit ----

GUEST_PROPERTY(a_child_uses_direct_requests_while_the_parents_are_in_flight) {
  if (is_sanitized()) skip("a sanitizer's allocator may be locked in the child");
  int fd = direct_file(), childs = direct_file();
  Requests requests = make_requests(64);
  for (unsigned round = 0; round < trials(10); ++round) {
    read_anywhere(requests, fd);
    pid_t child = fork_child([&] {
      // The parent's are nobody's here, and asking for them moves nothing of the parent's.
      for (auto& request : requests) {
        int error = aio_error(&request->block);
        CHECK(error == ECANCELED || error == 0);
        CHECK(suspend({request.get()}, 0) == 0);
      }
      Requests own = make_requests(64);
      for (int i = 0; i < 3; ++i) {
        read_anywhere(own, childs);
        if (i == 1) CHECK(aio_error(&requests[0]->block) != EINPROGRESS);
        finish(own);
      }
      read_anywhere(own, childs);  // and it ends with some in flight
    });
    if (round % 2) finish(requests);
    expect_clean_exit(child);
    finish(requests);
  }
}

GUEST_PROPERTY(a_child_neither_waits_for_nor_ends_the_parents_held_direct_reads) {
  if (is_sanitized()) skip("a sanitizer's allocator may be locked in the child");
  SlowDevice device;
  int slow = device.open_direct(), childs = direct_file();
  device.hold();
  Requests held = make_requests(8);
  for (unsigned i = 0; i < 8; ++i) held[i]->read(slow, i * 4096);
  for (int i = 0; i < 3; ++i)
    expect_clean_exit(fork_child([&] {
      for (auto& request : held) CHECK(aio_error(&request->block) == ECANCELED);
      CHECK(suspend({held[0].get()}) == 0);
      CHECK(aio_cancel(slow, nullptr) == AIO_ALLDONE);
      close(slow);
      Requests own = make_requests(32);
      read_anywhere(own, childs);
      finish(own);
    }));
  for (auto& request : held) CHECK(!request->is_done());
  device.release();
  finish(held);
}

GUEST_PROPERTY(close_waits_for_direct_requests_and_their_number_goes_to_another_file) {
  std::string paths[2] = {scratch_path("a"), scratch_path("b")};
  for (unsigned file : {0, 1}) {
    int fd = pattern_file_at(paths[file], kMiB, O_DIRECT, file);
    if (fd < 0) skip("O_DIRECT is not supported here");
    drop_cache(fd);
    close(fd);
  }
  int number = open(paths[0].c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  Requests reads = make_requests(12), writes = make_requests(4);
  for (unsigned round = 0; round < trials(400); ++round) {
    unsigned file = round % 2;
    for (auto& read : reads) read->read(number, random_below(kMiB / 8192) * 4096);  // the first half
    for (unsigned i = 0; i < 4; ++i) {
      fill_salted(*writes[i], 0, round * 4 + i);
      writes[i]->write(number, kMiB / 2 + i * 4096);
    }
    const int before = number;
    if (round % 3 == 0) {
      int other = open(paths[1 - file].c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
      CHECK(dup2(other, number) == number);
      close(other);
    } else {
      CHECK(close(number) == 0);
      for (auto& read : reads) CHECK(!is_answered_by_aiox() || aio_error(&read->block) != EINPROGRESS);
      number = open(paths[1 - file].c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
    }
    CHECK(number == before);
    for (auto& read : reads) {
      read->wait_for_all();
      read->check_pattern(file);
    }
    for (auto& write : writes) write->wait_for_all();
    int fd = open(paths[file].c_str(), O_RDONLY | O_CLOEXEC);
    unsigned char page[4096];
    for (unsigned i = 0; i < 4; ++i) {
      CHECK(pread(fd, page, 4096, off_t(kMiB / 2 + i * 4096)) == 4096);
      CHECK(page[0] == block_byte(0, round * 4 + i) && page[4095] == block_byte(7, round * 4 + i));
    }
    close(fd);
  }
  for (const std::string& path : paths) unlink(path.c_str());
}

GUEST_PROPERTY(close_returns_when_held_direct_requests_have_ended) {
  SlowDevice device;
  int other = device.open_direct();
  for (unsigned round = 0; round < trials(5); ++round) {
    int fd = device.open_direct();
    Request held, waited;
    device.hold();
    held.read(fd, 4096);
    waited.read(other, 8192);
    // Somebody else may be the one who sleeps for all.
    std::thread waiter;
    if (round % 2) waiter = std::thread([&] { waited.wait_for_all(); });
    std::atomic<bool> is_closed{false};
    std::thread closer([&] {
      CHECK(close(fd) == 0);
      is_closed = true;
    });
    sleep_ms(30);
    CHECK(!is_closed);
    device.release();
    closer.join();
    CHECK(held.is_done());
    held.wait_for_all();
    held.check_pattern();
    if (waiter.joinable()) waiter.join();
    waited.wait_for_all();
    waited.check_pattern();
  }
}

GUEST_PROPERTY(a_process_with_direct_requests_in_flight_ends_promptly) {
  if (is_sanitized()) skip("a sanitizer's allocator may be locked in the child");
  int fd = direct_file();
  const std::function<void()> ways[] = {[] { _exit(0); }, [] { exit(0); },
                                        [] {
                                          const char* words[] = {"/bin/true", nullptr};
                                          execv(words[0], const_cast<char**>(words));
                                          _exit(9);
                                        },
                                        [] {
                                          std::thread([] { _exit(0); }).join();
                                        },
                                        [] { raise(SIGKILL); }};
  for (unsigned round = 0; round < trials(20); ++round) {
    double begin = now();
    pid_t child = fork_child([&] {
      Requests reads = make_requests(64), writes = make_requests(8, 64 * 1024);
      read_anywhere(reads, fd);
      for (unsigned i = 0; i < 8; ++i) writes[i]->write(fd, kFileBytes + i * 64 * 1024);
      if (round % 2) reads[0]->wait_for_all();
      ways[round % std::size(ways)]();
    });
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (round % std::size(ways) == 4) CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    else CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (now() - begin > 10) FAIL("it took %.1f s", now() - begin);
  }
}
