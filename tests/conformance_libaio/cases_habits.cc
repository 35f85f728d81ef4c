// cases_habits.cc - what programs rely on because the kernel's io_submit has done a buffered transfer when it returns:
// the buffer of a write is their own again, and a look at the events finds what was quick.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "ring.h"

namespace libaio_conformance {
namespace {

using aiox_test::note;
using conformance::open_temp_file;

std::string contents(int fd) {
  struct stat status;
  fstat(fd, &status);
  std::string text(static_cast<size_t>(status.st_size), '?');
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

AIOX_CASE("the buffer of a buffered write is the program's again when io_submit returns") {
  for (const size_t length : {1u, 511u, 4096u, 10000u, 65536u, 65537u, 1u << 20}) {
    note("writes of one length");
    constexpr size_t kWrites = 12;
    Context context(64);
    const int fd = open_temp_file();
    std::vector<char> buffer(length);
    std::vector<iocb> blocks(kWrites);
    std::string expected;
    for (size_t i = 0; i < kWrites; ++i) {
      memset(buffer.data(), static_cast<int>('a' + i), length);
      expected += std::string(length, static_cast<char>('a' + i));
      blocks[i] = pwrite_block(fd, buffer.data(), length, static_cast<long long>(i * length));
      EXPECT_EQ(submit(context, blocks[i]), 1);
      memset(buffer.data(), '!', length);
    }
    for (const io_event& event : reap(context, kWrites)) EXPECT_EQ(result_in(event), static_cast<long>(length));
    EXPECT(contents(fd) == expected);
    close(fd);
  }
}

AIOX_CASE("so are the buffers of vectors and appends, of any number of writes at once, and of writes behind reads") {
  constexpr size_t kWrites = 1500, kLength = 3000;
  Context context(2 * kWrites);
  const int fd = open_temp_file();
  EXPECT_EQ(fcntl(fd, F_SETFL, O_APPEND), 0);
  char first[kLength / 3], second[kLength - kLength / 3], in[16];
  std::vector<iocb> blocks(2 * kWrites);
  std::string expected;
  for (size_t i = 0; i < kWrites; ++i) {
    memset(first, static_cast<int>('a' + i % 26), sizeof first);
    memset(second, static_cast<int>('A' + i % 26), sizeof second);
    expected += std::string(first, sizeof first) + std::string(second, sizeof second);
    blocks[2 * i] = pread_block(fd, in, sizeof in, static_cast<long long>(i * kLength));
    const std::vector<iovec> vectors = {{first, sizeof first}, {second, sizeof second}};
    blocks[2 * i + 1] = pwritev_block(fd, vectors);
    iocb* list[] = {&blocks[2 * i], &blocks[2 * i + 1]};
    EXPECT_EQ(submit(context, 2, list), 2);
    memset(first, '!', sizeof first);
    memset(second, '!', sizeof second);
  }
  for (const io_event& event : reap(context, 2 * kWrites)) {
    const bool is_read = (static_cast<size_t>(event.obj - blocks.data()) & 1) == 0;
    EXPECT_EQ(result_in(event), is_read ? 0 : static_cast<long>(kLength));  // at the end of the file, before the append
  }
  EXPECT(contents(fd) == expected);
  close(fd);
}

AIOX_CASE("a buffered read of what has just been written is done when io_submit returns") {
  Context context;
  const int fd = open_temp_file();
  const std::string long_data(8 << 20, 'l');
  char in[4096];
  for (int round = 0; round < 20; ++round) {
    const std::string data(4096, static_cast<char>('a' + round));
    iocb first = pwrite_block(fd, long_data.data(), round % 2 == 0 ? long_data.size() : 16384);
    iocb write = pwrite_block(fd, data.data(), data.size(), 4096);
    iocb read = pread_block(fd, in, sizeof in, 4096);
    iocb* list[] = {&first, &write, &read};
    EXPECT_EQ(submit(context, 3, list), 3);
    EXPECT(std::string(in, sizeof in) == data);
    reap(context, 3);
  }
  close(fd);
}

AIOX_CASE("what is submitted through several numbers of one file is done in call order") {
  for (int round = 0; round < 20; ++round) {
    Context context;
    const int fd = open_temp_file();
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const std::string first(65536, static_cast<char>('a' + round)), second(4096, static_cast<char>('A' + round));
    std::vector<char> in(65536);
    int numbers[] = {dup(fd), open(path.c_str(), O_RDWR), open(path.c_str(), O_RDONLY)};
    for (const int number : numbers) {  // its first use, and not its first
      for (int use = 0; use < 2; ++use) {
        iocb write = pwrite_block(fd, first.data(), first.size()),
             over = pwrite_block(fd, second.data(), second.size());
        iocb read = pread_block(number, in.data(), in.size());
        EXPECT_EQ(submit(context, write), 1);
        EXPECT_EQ(submit(context, over), 1);
        EXPECT_EQ(submit(context, read), 1);
        for (const io_event& event : reap(context, 3)) EXPECT_EQ(result_in(event), event.obj == &over ? 4096L : 65536L);
        EXPECT(std::string(in.data(), in.size()) == second + first.substr(4096));
        EXPECT_EQ(ftruncate(fd, 0), 0);
      }
    }
    const int appends[] = {open(path.c_str(), O_WRONLY | O_APPEND), open(path.c_str(), O_WRONLY | O_APPEND)};
    const std::string letters = "abcdefghijkl";
    std::vector<iocb> blocks;
    for (size_t i = 0; i < letters.size(); ++i) blocks.push_back(pwrite_block(appends[i % 2], &letters[i], 1));
    EXPECT_EQ(submit(context, blocks), static_cast<long>(letters.size()));
    reap(context, letters.size());
    EXPECT(contents(fd) == letters);
    for (const int number : numbers) close(number);
    for (const int number : appends) close(number);
    close(fd);
  }
}

AIOX_CASE("a buffered write from memory that is not all there writes what is, or answers EFAULT") {
  Context context;
  const int fd = open_temp_file();
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* memory =
      static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memset(memory, 'm', page);
  EXPECT_EQ(mprotect(memory + page, page, PROT_NONE), 0);
  iocb none = pwrite_block(fd, memory + page, 100);
  EXPECT_EQ(run(context, none), -EFAULT);
  const std::vector<iovec> vectors = {{memory, 100}, {memory + page, 100}};
  iocb part = pwritev_block(fd, vectors);
  EXPECT_EQ(run(context, part), 100);
  EXPECT(contents(fd) == std::string(100, 'm'));
  munmap(memory, 2 * page);
  close(fd);
}

constexpr int kFinds = 40;
constexpr int kRoundsOfBusyMachine = 10 * kFinds;  // a look that waits for nothing hardly ever finds all

// Looks without a wait until kFinds of them, in so many rounds at most, have found all three events.
void expect_finds(int fd, bool is_write, bool is_extending, long min, int rounds_max) {
  std::vector<char> buffer(4096, 'x');
  const timespec at_once{}, long_time = milliseconds(30000);
  Context context;
  for (int round = 0, finds = 0; finds < kFinds; ++round) {
    EXPECT(round < rounds_max);
    iocb blocks[3];
    iocb* list[3];
    for (int i = 0; i < 3; ++i) {
      const long long offset = 4096LL * (is_extending ? 3 * round + i : i);
      blocks[i] =
          is_write ? pwrite_block(fd, buffer.data(), 4096, offset) : pread_block(fd, buffer.data(), 4096, offset);
      list[i] = &blocks[i];
    }
    EXPECT_EQ(submit(context, 3, list), 3);
    io_event events[4];
    const long found = get_events(context, min, 4, events, min == 0 ? &long_time : &at_once);
    if (found == 3) finds++;
    if (found < 3) reap(context, static_cast<size_t>(3 - found));
  }
}

AIOX_CASE("a look for events without a wait finds those of quick buffered requests") {
  const int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR);
  for (const long min : {0L, 1L}) {
    const int fd = open_temp_file();
    note(min == 0 ? "a minimum of 0" : "no time");
    expect_finds(fd, true, true, min, kRoundsOfBusyMachine);
    expect_finds(fd, true, false, min, kRoundsOfBusyMachine);
    expect_finds(fd, false, false, min, kRoundsOfBusyMachine);
    for (const int device : {null, zero}) expect_finds(device, true, false, min, kFinds);
    expect_finds(zero, false, false, min, kFinds);
    close(fd);
  }
  close(null);
  close(zero);
}

AIOX_CASE("a look for events without a wait does not wait for what is no quick request") {
  Context context;
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "abc", 3);
  // None would be quick if the look waited for the poll; on a busy machine many are not.
  for (int round = 0, quick = 0; quick < 20; ++round) {
    EXPECT(round < 2000);
    io_event events[2];
    const timespec long_time = milliseconds(30000);
    EXPECT_EQ(submit(context, block), 1);
    const long long begin = now_ms();
    if (get_events(context, 0, 2, events, &long_time) < 1) reap(context, 1);
    if (now_ms() - begin < 4) quick++;
  }
  poll.end();
  reap(context, 1);
  close(fd);
}

AIOX_CASE("with AIOX_NATIVE_SYNC=1 buffered transfers are done when io_submit returns, in call order") {
  if (!against_kernel() && getenv("AIOX_NATIVE_SYNC") == nullptr) aiox_test::skip_case("AIOX_NATIVE_SYNC is not set");
  Context context;
  const int fd = open_temp_file(), other = open_temp_file();
  char in[3][4096] = {};
  const std::string first(4096, 'a'), second(4096, 'b');
  for (int round = 0; round < 100; ++round) {
    iocb blocks[] = {pwrite_block(fd, first.data(), 4096),  pread_block(fd, in[0], 4096),
                     pwrite_block(fd, second.data(), 4096), pwrite_block(other, "x", 1, round),
                     pread_block(fd, in[1], 4096),          pread_block(other, in[2], 4096)};
    iocb* list[6];
    for (int i = 0; i < 6; ++i) list[i] = &blocks[i];
    EXPECT_EQ(submit(context, 6, list), 6);
    EXPECT_EQ(events_in(ring_of(context)), 6u);
    EXPECT(std::string(in[0], 4096) == first && std::string(in[1], 4096) == second);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(reap_result(context, blocks[i]), i == 3 ? 1 : i == 5 ? round + 1 : 4096);
  }
  close(fd);
  close(other);
}

}  // namespace
}  // namespace libaio_conformance
