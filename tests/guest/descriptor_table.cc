// descriptor_table.cc - aiox has no descriptor that the program could see, close, inherit or run out of.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "native.h"

using namespace guest;

GUEST_PROPERTY(descriptor_table_is_the_programs_alone) {
  Load load;
  std::string before = descriptor_table();
  for (unsigned i = 0; i < trials(20); ++i) {
    load.submit();
    std::string during = descriptor_table();
    CHECK(load.is_anything_in_flight());
    if (during != before) FAIL("open before: %s; with requests in flight: %s", before.c_str(), during.c_str());
    load.finish();
    std::string after = descriptor_table();
    if (after != before) FAIL("open before: %s; afterwards: %s", before.c_str(), after.c_str());
  }
  CHECK(fcntl(0, F_GETFD) >= 0 || errno == EBADF);
}

GUEST_PROPERTY(the_next_descriptor_is_the_lowest_free_one) {
  int next = dup(0);
  close(next);
  Load load(16, 0);
  int first = dup(0);
  for (unsigned i = 0; i < trials(50); ++i) {
    load.submit();
    int fd = dup(0);
    CHECK(fd == first + 1);
    close(fd);
    load.finish();
  }
}

GUEST_PROPERTY(aio_works_with_no_free_descriptor) {
  int fd = pattern_file(64 * 1024);
  rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = rlim_t(fd) + 1;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(dup(0) == -1 && errno == EMFILE);
  for (unsigned i = 0; i < 50; ++i) {
    Request request;
    request.read(fd, i % 16 * 4096);
    request.wait_for_all();
    request.check_pattern();
  }
  limit.rlim_cur = before;  // a leak checker needs some at exit
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// What a daemon does first. Whatever private descriptor a library kept would now be somebody else's file.
GUEST_PROPERTY(closing_all_descriptors_in_the_middle_of_a_load) {
  std::string path = scratch_path("closed");
  for (unsigned round = 0; round < trials(20); ++round) {
    use_aio_a_little();
    int fd = pattern_file_at(path, 64 * 4096, 0);
    std::vector<std::unique_ptr<Request>> writes;
    for (unsigned i = 0; i < 64; ++i) {
      writes.push_back(std::make_unique<Request>());
      writes.back()->fill(static_cast<unsigned char>(200 + i % 50));
      writes.back()->write(fd, i * 4096);
    }
    if (round % 2) closefrom(3);
    else CHECK(close_range(3, ~0u, 0) == 0);
    // New files under the old numbers, at once.
    for (int i = 0; i < 3; ++i) use_aio_a_little();
    for (auto& write : writes) write->wait();
    if (is_answered_by_aiox()) {
      for (auto& write : writes) write->wait_for_all();
      int check = open(path.c_str(), O_RDONLY);
      unsigned char page[4096];
      for (unsigned i = 0; i < 64; ++i) {
        CHECK(pread(check, page, 4096, i * 4096) == 4096);
        CHECK(page[0] == 200 + i % 50 && page[4095] == 200 + i % 50);
      }
      close(check);
    }
    unlink(path.c_str());
  }
}

// A thread that leaves the common table (unshare) has other files behind the same numbers.
namespace {

enum class Leaving { kUnshare, kCloseRange, kByNumber };

struct OwnTable {
  Leaving leaving;
  bool is_native;
  int fd;       // in both tables: file 0 in the common one, file 1 in the thread's own
  int pending;  // a pipe with a read that waits
  std::string path;
};

void write_one(bool is_native, int fd, unsigned char value, uint64_t offset) {
  if (is_native) {
    NativeContext context(4, kEveryWay[0]);
    NativeRequests requests = native_requests(1, kBlockBytes);
    requests[0]->fill(value);
    requests[0]->write(fd, offset);
    context.submit(requests);
    context.finish();
    requests[0]->expect_all();
    return;
  }
  Request request(kBlockBytes);
  request.fill(value);
  request.write(fd, offset);
  request.wait_for_all();
  request.read(fd, offset);
  request.wait_for_all();
  CHECK(request.buffer[0] == value);
}

void* work_in_own_table(void* argument) {
  const auto& own = *static_cast<OwnTable*>(argument);
  switch (own.leaving) {
    case Leaving::kUnshare: CHECK(unshare(CLONE_FILES) == 0); break;
    case Leaving::kCloseRange:
      CHECK(close_range(unsigned(own.pending), unsigned(own.pending), CLOSE_RANGE_UNSHARE) == 0);
      break;
    case Leaving::kByNumber: CHECK(syscall(SYS_unshare, CLONE_FILES) == 0); break;
  }
  const int other = open(own.path.c_str(), O_RDWR | O_CLOEXEC);
  CHECK(other >= 0 && dup3(other, own.fd, O_CLOEXEC) == own.fd);
  close(own.pending);
  for (uint64_t i = 0; i < 8; ++i) write_one(own.is_native, own.fd, 'o', i * kBlockBytes);
  Request flush(8);
  flush.block.aio_fildes = own.fd;
  CHECK(aio_fsync(O_SYNC, &flush.block) == 0 && flush.wait() == 0);
  // What would wait is refused, and not left to a thread that has other files.
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  Request waiting(8);
  memset(&waiting.block, 0, sizeof waiting.block);
  waiting.block.aio_fildes = ends[0];
  waiting.block.aio_buf = waiting.buffer;
  waiting.block.aio_nbytes = 8;
  waiting.block.aio_sigevent.sigev_notify = SIGEV_NONE;
  CHECK(aio_read(&waiting.block) == -1 && errno == EAGAIN);
  return nullptr;
}

void threads_with_tables_of_their_own(bool is_native) {
  const std::string paths[2] = {scratch_path("common"), scratch_path("own")};
  for (const std::string& path : paths) close(pattern_file_at(path, 64 * kBlockBytes, 0));
  const int fd = open(paths[0].c_str(), O_RDWR | O_CLOEXEC);
  for (Leaving leaving : {Leaving::kUnshare, Leaving::kCloseRange, Leaving::kByNumber}) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    // In the first round the thread's own are the first requests of the process.
    std::unique_ptr<Request> pending;
    if (leaving != Leaving::kUnshare) {
      pending = std::make_unique<Request>(8);
      pending->read(ends[0], 0);
    }
    OwnTable own = {leaving, is_native, fd, ends[0], paths[1]};
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, work_in_own_table, &own) == 0 && pthread_join(thread, nullptr) == 0);
    for (uint64_t i = 0; i < 8; ++i) write_one(is_native, fd, 'c', (16 + i) * kBlockBytes);
    if (pending != nullptr) {
      CHECK(!pending->is_done());
      CHECK(write(ends[1], "received", 8) == 8);
      pending->wait_for_all();
    }
    close(ends[0]);
    close(ends[1]);
  }
  close(fd);
  for (unsigned file = 0; file < 2; ++file) {
    const int again = open(paths[file].c_str(), O_RDONLY | O_CLOEXEC);
    for (uint64_t i = 0; i < 24; ++i) {
      unsigned char byte = 0;
      CHECK(pread(again, &byte, 1, off_t(i * kBlockBytes)) == 1);
      const unsigned char expected = file == 1 && i < 8 ? 'o' : file == 0 && i >= 16 ? 'c' : block_byte(i);
      CHECK(byte == expected);
    }
    close(again);
    unlink(paths[file].c_str());
  }
}

}  // namespace

GUEST_PROPERTY(threads_with_descriptor_tables_of_their_own_reach_their_own_files) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  threads_with_tables_of_their_own(false);
}

GUEST_PROPERTY(native_threads_with_descriptor_tables_of_their_own_reach_their_own_files) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  threads_with_tables_of_their_own(true);
}
