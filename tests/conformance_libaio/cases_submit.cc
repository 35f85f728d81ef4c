// cases_submit.cc - what io_submit refuses, and with what; partial submission; what belongs to the program again when
// it returns.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"
#include "threads_and_signals.h"

namespace libaio_conformance {
namespace {

using conformance::open_pipe;
using conformance::open_socketpair;
using conformance::open_temp_file;
using conformance::open_temp_file_as;
using conformance::Pipe;

char* memory() {
  static char* const bytes = conformance::aligned_memory(65536);
  return bytes;
}

int closed_fd() {
  const int fd = open_temp_file();
  close(fd);
  return fd;
}

// One block that is good but for what `spoil` does to it.
void expect_spoiled(int error, iocb block, const std::function<void(iocb&)>& spoil) {
  Context context;
  spoil(block);
  expect_refused(context, block, error);
}

AIOX_CASE("io_submit of nothing is 0, of a negative number EINVAL") {
  Context context;
  iocb* none[] = {nullptr};
  EXPECT_EQ(submit(context, 0, none), 0);
  EXPECT_EQ(submit(context, 0, nullptr), 0);
  EXPECT_EQ(submit(context, -1, none), -EINVAL);
  EXPECT_EQ(submit(context, LONG_MIN, none), -EINVAL);
  EXPECT_EQ(submit(nullptr, 1, none), -EINVAL);
  EXPECT_EQ(submit(nullptr, 0, none), -EINVAL);
}

AIOX_CASE("a block or list that is not there is EFAULT, behind what is there") {
  Context context;
  const BadMemory bad;
  iocb* none[] = {nullptr};
  EXPECT_EQ(submit(context, 1, none), -EFAULT);
  EXPECT_EQ(submit(context, 1, nullptr), -EFAULT);
  for (const uintptr_t at : {uintptr_t{8}, ~uintptr_t{7}}) {
    EXPECT_EQ(submit(context, 1, reinterpret_cast<iocb**>(at)), -EFAULT);
  }
  EXPECT_EQ(submit(context, 1, bad.at<iocb*>(4096)), -EFAULT);
  iocb good = pread_block(open_temp_file(), memory(), 1);
  iocb** list = bad.at<iocb*>(4096 - 2 * sizeof(iocb*));
  list[0] = list[1] = &good;
  EXPECT_EQ(submit(context, 3, list), 2);
  reap(context, 2);
  for (iocb* block : {reinterpret_cast<iocb*>(64), reinterpret_cast<iocb*>(~uintptr_t{7}), bad.at<iocb>(4096),
                      bad.at<iocb>(4096 - 40)}) {
    iocb* blocks[] = {&good, block};
    EXPECT_EQ(submit(context, 1, blocks + 1), -EFAULT);
    EXPECT_EQ(submit(context, 2, blocks), 1);
    reap(context, 1);
  }
}

AIOX_CASE("a block that cannot be written to is EFAULT, behind what is wrong with its descriptor") {
  Context context;
  BadMemory memory_of_block;
  auto* block = memory_of_block.at<iocb>(512);
  *block = pread_block(open_temp_file(), memory(), 1);
  auto* bad_block = memory_of_block.at<iocb>(1024);
  *bad_block = pread_block(-1, memory(), 1);
  memory_of_block.make_read_only();
  EXPECT_EQ(submit(context, 1, &block), -EFAULT);
  EXPECT_EQ(submit(context, 1, &bad_block), -EBADF);
}

AIOX_CASE("io_setup with no place for the context is EFAULT") {
  BadMemory bad;
  EXPECT_EQ(setup(8, nullptr), -EFAULT);
  EXPECT_EQ(setup(8, bad.at<io_context_t>(4096)), -EFAULT);
  bad.make_read_only();
  EXPECT_EQ(setup(8, bad.at<io_context_t>(0)), -EFAULT);
}

AIOX_CASE("vectors that are not there are EFAULT; where there are none, nothing is looked at") {
  const BadMemory bad;
  const int file = open_temp_file();
  Context context;
  for (void* vectors :
       {static_cast<void*>(nullptr), bad.at<void>(4096), bad.at<void>(4096 - 24), reinterpret_cast<void*>(-1l)}) {
    iocb block = pread_block(file, vectors, 2);
    block.aio_lio_opcode = IO_CMD_PREADV;
    expect_refused(context, block, EFAULT);
    block.u.c.nbytes = 0;
    EXPECT_EQ(run(context, block), 0);
  }
}

AIOX_CASE("a length beyond all memory is cut where it is one buffer, and EFAULT in one of several vectors") {
  const int file = open_temp_file();
  EXPECT_EQ(pwrite(file, "abcdefgh", 8, 0), 8);
  Context context;
  for (const unsigned long bytes : {1ul << 46, 1ul << 48, 1ul << 56, static_cast<unsigned long>(LONG_MAX)}) {
    iocb block = pread_block(file, memory(), bytes);
    EXPECT_EQ(run(context, block), 8);
    const std::vector<iovec> vectors{{memory(), 8}, {memory(), bytes}};
    iocb several = preadv_block(file, vectors);
    if (bytes > 1ul << 47) expect_refused(context, several, EFAULT);
  }
}

AIOX_CASE("aio_reserved2 must be 0") {
  const int fd = open_temp_file();
  for (const int bit : {0, 1, 30}) {
    expect_spoiled(EINVAL, pread_block(fd, memory(), 1), [&](iocb& b) { reserved2_of(b) = 1u << bit; });
  }
}

AIOX_CASE("a bad descriptor is EBADF for every command") {
  for (const int fd : {-1, closed_fd(), INT_MAX}) {
    const std::vector<iovec> vectors{{memory(), 8}};
    for (const iocb& block : {pread_block(fd, memory(), 8), pwrite_block(fd, memory(), 8), preadv_block(fd, vectors),
                              pwritev_block(fd, vectors), fsync_block(fd), fdsync_block(fd), poll_block(fd, POLLIN)}) {
      expect_spoiled(EBADF, block, [](iocb&) {});
    }
  }
}

AIOX_CASE("an O_PATH descriptor is EBADF") {
  const int fd = open(".", O_PATH | O_CLOEXEC);
  for (const iocb& block : {pread_block(fd, memory(), 8), fsync_block(fd), poll_block(fd, POLLIN)}) {
    expect_spoiled(EBADF, block, [](iocb&) {});
  }
}

AIOX_CASE("commands that do not exist, and NOOP, are EINVAL") {
  for (const int opcode : {4, static_cast<int>(IO_CMD_NOOP), 9, 100, -1, -32768}) {
    expect_spoiled(EINVAL, pread_block(open_temp_file(), memory(), 1),
                   [&](iocb& b) { b.aio_lio_opcode = static_cast<short>(opcode); });
  }
}

AIOX_CASE("the descriptor is looked at before the command") {
  expect_spoiled(EBADF, pread_block(-1, memory(), 1), [](iocb& b) { b.aio_lio_opcode = IO_CMD_NOOP; });
  expect_spoiled(EINVAL, pread_block(-1, memory(), 1), [](iocb& b) { reserved2_of(b) = 1; });
  expect_spoiled(EINVAL, pread_block(-1, memory(), 1), [](iocb& b) { b.u.c.nbytes = ~0ul; });
}

AIOX_CASE("a negative number of bytes is EINVAL") {
  for (const unsigned long bytes : {~0ul, 1ul << 63, (1ul << 63) + 4096}) {
    expect_spoiled(EINVAL, pread_block(open_temp_file(), memory(), bytes), [](iocb&) {});
    expect_spoiled(EINVAL, pwrite_block(open_temp_file(), memory(), bytes), [](iocb&) {});
    expect_spoiled(EINVAL, fsync_block(open_temp_file()), [&](iocb& b) { b.u.c.nbytes = bytes; });
  }
}

AIOX_CASE("a negative offset is EINVAL, on pipes and sockets too") {
  const int pipe = open_pipe().read_fd;
  const int file = open_temp_file();
  for (const long long offset : {-1ll, -4096ll, LLONG_MIN}) {
    expect_spoiled(EINVAL, pread_block(file, memory(), 8, offset), [](iocb&) {});
    expect_spoiled(EINVAL, pwrite_block(file, memory(), 8, offset), [](iocb&) {});
    expect_spoiled(EINVAL, preadv_block(file, {{memory(), 8}}, offset), [](iocb&) {});
    expect_spoiled(EINVAL, pread_block(pipe, memory(), 8, offset), [](iocb&) {});
    expect_spoiled(EINVAL, pread_block(open_socketpair().a, memory(), 8, offset), [](iocb&) {});
  }
}

AIOX_CASE("an offset whose end is beyond what a file can have is EINVAL") {
  const int file = open_temp_file();
  expect_spoiled(EINVAL, pread_block(file, memory(), 8, LLONG_MAX), [](iocb&) {});
  expect_spoiled(EINVAL, pwrite_block(file, memory(), 8, LLONG_MAX - 7), [](iocb&) {});
}

AIOX_CASE("a descriptor that is not open for the direction is EBADF") {
  const std::vector<int> fds = open_temp_file_as({O_RDONLY, O_WRONLY});
  const Pipe pipe = open_pipe();
  const std::vector<iovec> vectors{{memory(), 8}};
  for (const iocb& block : {pwrite_block(fds[0], memory(), 8), pread_block(fds[1], memory(), 8),
                            pwritev_block(fds[0], vectors), preadv_block(fds[1], vectors),
                            pwrite_block(pipe.read_fd, memory(), 8), pread_block(pipe.write_fd, memory(), 8)}) {
    expect_spoiled(EBADF, block, [](iocb&) {});
  }
}

AIOX_CASE("a directory: reading EINVAL, writing EBADF") {
  const int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  expect_spoiled(EINVAL, pread_block(fd, memory(), 8), [](iocb&) {});
  expect_spoiled(EBADF, pwrite_block(fd, memory(), 8), [](iocb&) {});
}

AIOX_CASE("files that know no such transfer are EINVAL: writing an eventfd, reading an epoll descriptor") {
  const int event = eventfd(0, EFD_CLOEXEC);
  expect_spoiled(EINVAL, pwrite_block(event, memory(), 8), [](iocb&) {});
  expect_spoiled(EINVAL, pwritev_block(event, {{memory(), 8}}), [](iocb&) {});
  expect_spoiled(EINVAL, pread_block(epoll_create1(EPOLL_CLOEXEC), memory(), 8), [](iocb&) {});
}

AIOX_CASE("FSYNC and FDSYNC take no buffer, length, offset or flags: EINVAL") {
  const int fd = open_temp_file();
  for (const iocb& block : {fsync_block(fd), fdsync_block(fd)}) {
    expect_spoiled(EINVAL, block, [](iocb& b) { b.u.c.buf = memory(); });
    expect_spoiled(EINVAL, block, [](iocb& b) { b.u.c.nbytes = 1; });
    expect_spoiled(EINVAL, block, [](iocb& b) { b.u.c.offset = 1; });
    expect_spoiled(EINVAL, block, [](iocb& b) { b.aio_rw_flags = RWF_DSYNC; });
  }
}

AIOX_CASE("FSYNC of what cannot be synced is EINVAL") {
  for (const int fd : {open_pipe().read_fd, open_pipe().write_fd, open_socketpair().a, eventfd(0, EFD_CLOEXEC),
                       open("/dev/null", O_RDWR | O_CLOEXEC)}) {
    expect_spoiled(EINVAL, fsync_block(fd), [](iocb&) {});
    expect_spoiled(EINVAL, fdsync_block(fd), [](iocb&) {});
  }
}

AIOX_CASE("FSYNC looks at no priority") {
  Context context;
  iocb block = fsync_block(open_temp_file());
  block.u.c.flags = 2;
  block.aio_reqprio = static_cast<short>(7 << 13);
  EXPECT_EQ(run(context, block), 0);
}

AIOX_CASE("POLL takes 16 bits of events and nothing else: EINVAL") {
  const iocb good = poll_block(open_pipe().read_fd, POLLIN);
  expect_spoiled(EINVAL, good, [](iocb& b) { b.u.poll.events = 0x10000 | POLLIN; });
  expect_spoiled(EINVAL, good, [](iocb& b) { b.u.c.buf = reinterpret_cast<void*>(uintptr_t{POLLIN} | 1ull << 32); });
  expect_spoiled(EINVAL, good, [](iocb& b) { b.u.c.nbytes = 1; });
  expect_spoiled(EINVAL, good, [](iocb& b) { b.u.c.offset = 1; });
  expect_spoiled(EINVAL, good, [](iocb& b) { b.aio_rw_flags = RWF_DSYNC; });
}

AIOX_CASE("a POLL of a regular file for what it never tells is EINVAL") {
  expect_spoiled(EINVAL, poll_block(open_temp_file(), POLLPRI), [](iocb&) {});
  expect_spoiled(EINVAL, poll_block(open_temp_file(), 0), [](iocb&) {});
}

AIOX_CASE("more than 1024 vectors are EINVAL") {
  const int fd = open_temp_file();
  const std::vector<iovec> vectors(1025, iovec{memory(), 1});
  expect_spoiled(EINVAL, preadv_block(fd, vectors), [](iocb&) {});
  expect_spoiled(EINVAL, pwritev_block(fd, vectors), [](iocb&) {});
  expect_spoiled(EINVAL, preadv_block(fd, vectors), [](iocb& b) { b.u.c.nbytes = 0x7fffffff; });
}

AIOX_CASE("a vector of negative length is EINVAL") {
  const int fd = open_temp_file();
  for (const std::vector<iovec>& vectors :
       {std::vector<iovec>{{memory(), ~0ul}}, {{memory(), 1}, {memory(), 1ul << 63}}}) {
    expect_spoiled(EINVAL, preadv_block(fd, vectors), [](iocb&) {});
    expect_spoiled(EINVAL, pwritev_block(fd, vectors), [](iocb&) {});
  }
}

AIOX_CASE("a NULL vector array is EFAULT, unless it has no elements") {
  const int fd = open_temp_file();
  expect_spoiled(EFAULT, preadv_block(fd, {}), [](iocb& b) {
    b.u.c.buf = nullptr;
    b.u.c.nbytes = 1;
  });
  Context context;
  iocb empty = preadv_block(fd, {});
  empty.u.c.buf = nullptr;
  EXPECT_EQ(run(context, empty), 0);
}

AIOX_CASE("rw_flags that do not exist are EOPNOTSUPP") {
  for (const unsigned flags : {0x40000000u, 0x80000000u}) {
    for (const int fd : {open_temp_file(), open_pipe().read_fd, open_socketpair().a}) {
      expect_spoiled(EOPNOTSUPP, pread_block(fd, memory(), 8), [&](iocb& b) { b.aio_rw_flags = flags; });
    }
    expect_spoiled(EOPNOTSUPP, pwrite_block(open_temp_file(), memory(), 8), [&](iocb& b) { b.aio_rw_flags = flags; });
  }
}

AIOX_CASE("RWF_NOWAIT on a file that does not know it is EOPNOTSUPP, from io_submit") {
  const conformance::Channel tmpfs = conformance::open_channel(conformance::Kind::kTmpfs);
  errno = 0;
  const iovec plain{memory(), 8};
  if (preadv2(tmpfs.read_fd, &plain, 1, 0, RWF_NOWAIT) != -1 || errno != EOPNOTSUPP) {
    aiox_test::skip_case("this tmpfs knows RWF_NOWAIT");
  }
  for (const iocb& block : {pread_block(tmpfs.read_fd, memory(), 8), pwrite_block(tmpfs.write_fd, memory(), 8)}) {
    expect_spoiled(EOPNOTSUPP, block, [](iocb& b) { b.aio_rw_flags = RWF_NOWAIT; });
  }
}

AIOX_CASE("RESFD with a bad descriptor is EBADF, with one that is no eventfd EINVAL") {
  const int fd = open_temp_file();
  for (iocb block : {pread_block(fd, memory(), 8), fsync_block(fd), poll_block(open_pipe().read_fd, POLLIN)}) {
    expect_spoiled(EBADF, block, [](iocb& b) { io_set_eventfd(&b, -1); });
    expect_spoiled(EBADF, block, [](iocb& b) { io_set_eventfd(&b, closed_fd()); });
    expect_spoiled(EINVAL, block, [&](iocb& b) { io_set_eventfd(&b, fd); });
    expect_spoiled(EINVAL, block, [](iocb& b) { io_set_eventfd(&b, open_pipe().write_fd); });
  }
}

AIOX_CASE("a refused request leaves its eventfd alone") {
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  expect_spoiled(EINVAL, pread_block(open_temp_file(), memory(), 8, -1), [&](iocb& b) { io_set_eventfd(&b, event); });
  uint64_t count;
  EXPECT_FAILS(read(event, &count, sizeof count), EAGAIN);
}

AIOX_CASE("flags of the block that do not exist are ignored") {
  Context context;
  const int fd = open_temp_file();
  for (const unsigned flags : {4u, 0x80000000u}) {
    iocb block = pwrite_block(fd, "abc", 3);
    block.u.c.flags = flags;
    EXPECT_EQ(run(context, block), 3);
  }
}

AIOX_CASE("IOPRIO: classes that do not exist are EINVAL, the others are taken; without the flag nobody looks") {
  const int fd = open_temp_file();
  for (const int priority : {7 << 13, 4 << 13, 1}) {  // 1: a level without a class
    expect_spoiled(EINVAL, pread_block(fd, memory(), 8), [&](iocb& b) {
      b.u.c.flags = 2;
      b.aio_reqprio = static_cast<short>(priority);
    });
    Context context;
    iocb unflagged = pread_block(fd, memory(), 8);
    unflagged.aio_reqprio = static_cast<short>(priority);
    EXPECT_EQ(run(context, unflagged), 0);
  }
  for (const int priority : {0, 2 << 13 | 7, 3 << 13}) {
    Context context;
    iocb block = pread_block(fd, memory(), 8);
    block.u.c.flags = 2;
    block.aio_reqprio = static_cast<short>(priority);
    EXPECT_EQ(run(context, block), 0);
  }
}

AIOX_CASE("of a list whose n-th block is bad, those before are taken, and no event comes of the others") {
  for (size_t bad = 0; bad < 6; ++bad) {
    Context context;
    const int fd = open_temp_file();
    std::vector<iocb> blocks;
    for (long i = 0; i < 6; ++i) blocks.push_back(pwrite_block(fd, "x", 1, i));
    blocks[bad].aio_fildes = -1;
    blocks[bad].key = 77;
    EXPECT_EQ(submit(context, blocks), bad == 0 ? -EBADF : static_cast<long>(bad));
    std::vector<bool> seen(6, false);
    for (const io_event& event : reap(context, bad)) {
      const size_t index = static_cast<size_t>(event.obj - blocks.data());
      EXPECT(index < bad && !seen[index]);
      seen[index] = true;
      EXPECT_EQ(result_in(event), 1);
    }
    conformance::sleep_ms(2);
    expect_no_event(context);
    EXPECT_EQ(lseek(fd, 0, SEEK_END), static_cast<off_t>(bad));
  }
}

AIOX_CASE("a list with a NULL block in the middle is taken up to there") {
  Context context;
  const int fd = open_temp_file();
  iocb first = pwrite_block(fd, "x", 1), last = pwrite_block(fd, "y", 1, 5);
  iocb* list[] = {&first, nullptr, &last};
  EXPECT_EQ(submit(context, 3, list), 1);
  EXPECT_EQ(reap_result(context, first), 1);
  expect_no_event(context);
}

AIOX_CASE("aio_key is written 0, also in blocks that are then refused by their command") {
  Context context;
  const int fd = open_temp_file();
  iocb block = pwrite_block(fd, "x", 1);
  block.key = 77;
  EXPECT_EQ(submit(context, block), 1);
  EXPECT_EQ(block.key, 0u);
  EXPECT_EQ(reap_result(context, block), 1);
  iocb refused = pwrite_block(fd, "x", 1, -1);
  refused.key = 77;
  expect_refused(context, refused, EINVAL);
  EXPECT_EQ(refused.key, 0u);
  iocb unknown = pwrite_block(-1, "x", 1);
  unknown.key = 77;
  expect_refused(context, unknown, EBADF);
  EXPECT_EQ(unknown.key, 77u);
}

AIOX_CASE("blocks, the list and vector arrays are the program's again when io_submit returns") {
  Context context;
  const conformance::Channel direct = conformance::open_channel(conformance::Kind::kDirect);
  for (const int fd : {direct.write_fd, open_temp_file()}) {
    constexpr size_t kPieces = 12, kPieceBytes = 4096;
    const std::string data = conformance::pattern(kPieces * kPieceBytes, 5);
    std::memcpy(memory(), data.data(), data.size());
    std::vector<iovec> vectors;
    for (size_t i = 0; i < kPieces; ++i) vectors.push_back({memory() + i * kPieceBytes, kPieceBytes});
    iocb block = pwritev_block(fd, vectors);
    block.data = &block;
    iocb* list[] = {&block};
    EXPECT_EQ(submit(context, 1, list), 1);
    std::memset(&block, 0xff, sizeof block);
    std::memset(list, 0xff, sizeof list);
    std::memset(vectors.data(), 0xff, vectors.size() * sizeof(iovec));
    const io_event event = reap(context, 1)[0];
    EXPECT(event.obj == &block && event.data == &block);
    EXPECT_EQ(result_in(event), static_cast<long>(data.size()));
    std::memset(memory(), 0, data.size());

    vectors.clear();
    for (size_t i = 0; i < kPieces; ++i) vectors.push_back({memory() + i * kPieceBytes, kPieceBytes});
    block = preadv_block(fd, vectors);
    EXPECT_EQ(submit(context, block), 1);
    std::memset(vectors.data(), 0xff, vectors.size() * sizeof(iovec));
    EXPECT_EQ(result_in(reap(context, 1)[0]), static_cast<long>(data.size()));
    EXPECT(std::memcmp(memory(), data.data(), data.size()) == 0);
  }
}

AIOX_CASE("the descriptor may be closed right after io_submit") {
  Context context;
  for (int round = 0; round < 50; ++round) {
    const std::vector<int> fds = open_temp_file_as({O_RDWR, O_RDWR});
    iocb block = pwrite_block(fds[0], "abc", 3);
    iocb sync = fsync_block(fds[0]);
    EXPECT_EQ(submit(context, block), 1);
    EXPECT_EQ(submit(context, sync), 1);
    close(fds[0]);
    const int other = open_temp_file();  // takes the number
    for (const io_event& event : reap(context, 2)) EXPECT_EQ(result_in(event), event.obj == &block ? 3 : 0);
    EXPECT_EQ(lseek(fds[1], 0, SEEK_END), 3);
    EXPECT_EQ(lseek(other, 0, SEEK_END), 0);
    close(other);
    close(fds[1]);
  }
}

AIOX_CASE("a pending poll outlives the close of its descriptor") {
  Context context;
  PendingPoll poll;
  EXPECT_EQ(submit(context, poll.block), 1);
  const int kept = dup(poll.read_fd);  // else the end of the pipe would be gone, and the poll with it
  close(poll.read_fd);
  if (differs_from_kernel(kPollMayEndWithItsDescriptor) && !has_direct_lane()) return;
  expect_no_event(context);
  poll.end();
  EXPECT(tells(reap_result(context, poll.block), POLLIN));
  close(kept);
}

AIOX_CASE("io_submit of a read on an empty stream does not wait") {
  if (!differs_from_kernel(kSubmitDoesNotWait)) return;
  Context context;
  const Pipe pipe = open_pipe();
  const conformance::SocketPair sockets = open_socketpair();
  const int event = eventfd(0, EFD_CLOEXEC);
  aiox_test::note("io_submit of a read on an empty stream");
  iocb from_pipe = pread_block(pipe.read_fd, memory(), 16), from_socket = pread_block(sockets.a, memory() + 16, 16),
       from_event = pread_block(event, memory() + 32, 8);
  EXPECT_EQ(submit(context, from_pipe), 1);
  EXPECT_EQ(submit(context, from_socket), 1);
  EXPECT_EQ(submit(context, from_event), 1);
  aiox_test::note("waiting for the read of the eventfd");
  conformance::sleep_ms(5);
  expect_no_event(context);
  EXPECT_EQ(eventfd_write(event, 3), 0);
  EXPECT_EQ(reap_result(context, from_event), 8);
  aiox_test::note("waiting for the read of the socket");
  conformance::write_exactly(sockets.b, "hello");
  EXPECT_EQ(reap_result(context, from_socket), 5);
  aiox_test::note("waiting for the read of the pipe");
  conformance::write_exactly(pipe.write_fd, "abc");
  EXPECT_EQ(reap_result(context, from_pipe), 3);
  EXPECT(std::memcmp(memory(), "abc", 3) == 0 && std::memcmp(memory() + 16, "hello", 5) == 0 && memory()[32] == 3);
}

AIOX_CASE("io_submit of a write to a full pipe does not wait") {
  if (!differs_from_kernel(kSubmitDoesNotWait)) return;
  Context context;
  const Pipe pipe = open_pipe();
  const size_t before = conformance::fill_up(pipe.write_fd);
  iocb block = pwrite_block(pipe.write_fd, memory(), 4096);
  EXPECT_EQ(submit(context, block), 1);
  expect_no_event(context);
  conformance::read_exactly(pipe.read_fd, before);
  EXPECT_EQ(reap_result(context, block), 4096);
}

}  // namespace
}  // namespace libaio_conformance
