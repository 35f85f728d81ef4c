// descriptor_table.cc - aiox has no descriptor that the program could see, close, inherit or run out of.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

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
