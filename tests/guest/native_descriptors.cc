// native_descriptors.cc - descriptor_table.cc for programs of libaio, and the eventfds that their requests name: aiox
// has no descriptor that the program could see, close or run out of, and writes to none that is not the one that was
// named.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "native.h"

using namespace guest;

GUEST_PROPERTY(native_descriptor_table_is_the_programs_alone) {
  int next = dup(0);
  close(next);
  NativeLoad prepared(1, 0);
  for (Reap way : kEveryWay) {
    NativeLoad load(32, 2, way);
    std::string before = descriptor_table();
    int free_one = dup(0);
    close(free_one);
    for (unsigned i = 0; i < trials(10); ++i) {
      load.submit();
      std::string during = descriptor_table();
      CHECK(load.is_anything_in_flight());
      if (during != before) FAIL("open before: %s; with requests in flight: %s", before.c_str(), during.c_str());
      int fd = dup(0);
      CHECK(fd == free_one);
      close(fd);
      load.finish();
      std::string after = descriptor_table();
      if (after != before) FAIL("open before: %s; afterwards: %s", before.c_str(), after.c_str());
      aiocb posix_read{};
      char byte;
      posix_read.aio_fildes = load_file(false), posix_read.aio_buf = &byte, posix_read.aio_nbytes = 1;
      CHECK(aio_read(&posix_read) == 0);
      while (aio_error(&posix_read) == EINPROGRESS) sched_yield();
    }
  }
}

GUEST_PROPERTY(native_aio_works_with_no_free_descriptor) {
  NativeFiles files;
  int highest = eventfd(0, EFD_CLOEXEC);
  rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = rlim_t(highest) + 1;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(dup(0) == -1 && errno == EMFILE);
  close(highest);  // the number of the driver's own eventfd
  use_native_files(files);
  limit.rlim_cur = before;  // a leak checker needs some at exit
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// What a daemon does first. Whatever private descriptor a library kept would now be somebody else's file.
GUEST_PROPERTY(native_closing_all_descriptors_in_the_middle_of_a_load) {
  constexpr unsigned kWrites = 64;
  std::string paths[2] = {scratch_path("closed"), scratch_path("closed-direct")};
  for (unsigned round = 0; round < trials(24); ++round) {
    use_native_aio_a_little();
    NativeContext context(4 * kWrites, round % 2 ? Reap::kReadsRing : Reap::kWaits);
    NativeRequests writes = native_requests(kWrites), direct = native_requests(kWrites),
                   streams = native_requests(4, 8);
    NativeRequests silent = native_requests(4, 8);
    int fds[2] = {pattern_file_at(paths[0], kWrites * 4096, 0), pattern_file_at(paths[1], kWrites * 4096, O_DIRECT)};
    int ends[2], quiet[2];
    CHECK(pipe(ends) == 0 && pipe(quiet) == 0);
    for (unsigned i = 0; i < kWrites; ++i)
      for (auto& requests : {&writes, &direct}) {
        (*requests)[i]->fill(static_cast<unsigned char>(150 + i));
        (*requests)[i]->write(requests == &direct && fds[1] >= 0 ? fds[1] : fds[0], i * 4096);
      }
    for (auto& stream : streams) stream->read(ends[0], 0);
    for (auto& stream : silent) stream->read(quiet[0], 0);
    if (is_answered_by_aiox()) {
      context.submit(streams);
      context.submit(silent);
    }
    context.submit(writes);
    context.submit(direct);
    if (is_answered_by_aiox()) CHECK(write(ends[1], "0123456701234567012345670123456", 32) == 32);
    if (round % 3 == 0) closefrom(3);
    else if (round % 3 == 1) CHECK(close_range(3, ~0u, 0) == 0);
    else
      for (int fd = 3; fd < 64; ++fd) close(fd);
    // New files under the old numbers, at once.
    for (int i = 0; i < 3; ++i) use_native_aio_a_little();
    for (int file = 0; file < 2; ++file) fds[file] = open(paths[file].c_str(), O_RDONLY | O_CLOEXEC);
    context.finish();
    for (auto& request : writes) request->expect_all();
    for (auto& request : direct) request->expect_all();
    unsigned char page[4096];
    for (unsigned i = 0; i < 2 * kWrites; ++i) {
      if (fds[i % 2] < 0) continue;
      CHECK(pread(fds[i % 2], page, 4096, off_t(i / 2 * 4096)) == 4096);
      CHECK(page[0] == 150 + i / 2 && page[4095] == 150 + i / 2);
    }
    for (int file = 0; file < 2; ++file) {
      close(fds[file]);
      unlink(paths[file].c_str());
    }
  }
}

namespace {

int full_file(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  CHECK(fd >= 0 && write(fd, "untouched", 9) == 9 && lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

}  // namespace

// The eventfd that requests in flight name is closed, and its number becomes a file's, or another eventfd's.
GUEST_PROPERTY(native_eventfds_number_reused_gets_nothing) {
  std::string path = scratch_path("number");
  int file = load_file(false), direct = load_file(true);
  for (unsigned round = 0; round < trials(is_answered_by_aiox() ? 1000 : 100); ++round) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    const bool has_pipe = is_answered_by_aiox();
    auto context = std::make_unique<NativeContext>(16);
    NativeRequests requests = native_requests(8, 512);
    if (round % 64 == 0) drop_cache(file);
    int named = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int kept = dup(named);
    for (unsigned i = 0; i < requests.size(); ++i) {
      if (i == 0 && has_pipe) requests[i]->read(ends[0], 0);
      else requests[i]->read(i % 2 && direct >= 0 ? direct : file, random_below(kLoadFileBytes / 512) * 512);
      requests[i]->block.aio_flags = IOCB_FLAG_RESFD;
      requests[i]->block.aio_resfd = uint32_t(named);
    }
    context->submit(requests);
    int now = -1;
    if (round % 4 == 0) {
      close(named);
      now = full_file(path);
    } else if (round % 4 == 1) {
      close(named);
      now = eventfd(5, EFD_CLOEXEC | EFD_NONBLOCK);
    } else {
      int other = round % 4 == 2 ? full_file(path) : eventfd(5, EFD_CLOEXEC | EFD_NONBLOCK);
      CHECK(dup2(other, named) == named);
      close(other);
      now = named;
    }
    CHECK(now == named);
    const bool is_known = round % 8 >= 4;  // the number's new file has requests of its own before
    if (is_known) {
      Request own(8);
      own.read(now, 0);
      own.wait_for_all();
    }
    if (has_pipe) CHECK(write(ends[1], std::string(512, 'p').data(), 512) == 512);
    context->finish();
    context.reset();  // an eventfd is told after the event can be taken
    for (auto& request : requests) request->expect_all();
    if (round % 2 == 0) {
      char text[32] = {};
      struct stat status {};
      CHECK(fstat(now, &status) == 0 && lseek(now, 0, SEEK_CUR) == 0);
      CHECK(pread(now, text, sizeof text, 0) == 9 && strcmp(text, "untouched") == 0);
    } else {
      uint64_t count = 0;
      if (is_known) CHECK(write(now, &(count = 5), sizeof count) == sizeof count);  // its own read has taken them
      CHECK(read(now, &count, sizeof count) == sizeof count);
      if (count != 5)
        FAIL("round %u: the new eventfd got %llu of the old one's", round, (unsigned long long)(count - 5));
    }
    for (int fd : {now, kept, ends[0], ends[1]}) close(fd);
  }
  unlink(path.c_str());
}

// Requests hold the eventfd that they name, so that another descriptor of it hears of them all.
GUEST_PROPERTY(native_eventfd_is_told_by_its_other_descriptor) {
  for (unsigned round = 0; round < trials(100); ++round) {
    NativeContext context(8);
    NativeRequests requests = native_requests(8);
    int named = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int kept = dup(named);
    if (round % 16 == 0) drop_cache(load_file(false));
    for (unsigned i = 0; i < requests.size(); ++i) {
      requests[i]->read(load_file(i % 2 && load_file(true) >= 0), random_below(kLoadFileBytes / 4096) * 4096);
      requests[i]->block.aio_flags = IOCB_FLAG_RESFD;
      requests[i]->block.aio_resfd = uint32_t(named);
    }
    context.submit(requests);
    close(named);
    context.finish();
    uint64_t told = 0, part;
    pollfd entry{kept, POLLIN, 0};
    while (told < requests.size() && poll(&entry, 1, 1000) == 1 && read(kept, &part, sizeof part) == sizeof part)
      told += part;
    if (told != requests.size()) FAIL("round %u: told of %llu of 8", round, (unsigned long long)told);
    close(kept);
  }
}

// The kernel has done a buffered write when io_submit returns, so the next one by whatever number comes behind it.
GUEST_PROPERTY(native_writes_by_several_numbers_of_a_file_happen_in_the_order_of_their_calls) {
  constexpr unsigned kWrites = 32;
  constexpr size_t kBytes = 64 * 1024;
  const std::string path = scratch_path("numbers");
  for (unsigned round = 0; round < trials(20); ++round) {
    const int first = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const int second = round % 2 == 0 ? dup(first) : open(path.c_str(), O_RDWR | O_CLOEXEC);
    CHECK(first >= 0 && second >= 0);
    NativeContext context(2 * kWrites);
    NativeRequests writes = native_requests(kWrites, kBytes);
    NativeRequest last(kBytes);
    for (unsigned i = 0; i < kWrites; ++i) {
      writes[i]->fill(1);
      writes[i]->write(first, i * 2 * kBytes);  // they do not continue one another
    }
    last.fill(2);
    last.write(second, (kWrites - 1) * 2 * kBytes);
    context.submit(writes);
    context.submit(last);
    context.finish();
    last.expect_all();
    unsigned char there = 0;
    CHECK(pread(first, &there, 1, (kWrites - 1) * 2 * kBytes) == 1);
    if (there != 2) FAIL("round %u: the write of the first number came behind that of the second", round);
    close(first);
    close(second);
  }
  unlink(path.c_str());
}
