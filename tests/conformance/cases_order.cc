// cases_order.cc - what runs in parallel and what keeps its order: operations on one file in parallel, O_APPEND and
// files without a position in call order, and neighbouring writes that answer for themselves.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"
#include "slow_file.h"

namespace conformance {
namespace {

using aiox_test::note;
using aiox_test::SlowFile;
using aiox_test::SlowOp;

AIOX_CASE("a blocked read on a socket does not hold up a write on it") {
  const SocketPair pair = open_socketpair();
  char buffer[16];
  aiocb read = make_read(pair.a, buffer, sizeof buffer);
  submit(read);
  let_it_begin(pair.a);
  aiocb write = make_write(pair.a, "ping", 4);
  submit(write);
  note("waiting for the write behind the read");
  EXPECT_EQ(result_of(write), 4);
  EXPECT(read_exactly(pair.b, 4) == "ping");
  EXPECT_EQ(aio_error(&read), EINPROGRESS);
  write_exactly(pair.b, "pong");
  EXPECT_EQ(result_of(read), 4);
}

AIOX_CASE("a blocked read on a pty does not hold up a write on it") {
  Channel channel = open_channel(Kind::kPty);
  char buffer[16];
  aiocb read = make_read(channel.read_fd, buffer, sizeof buffer);
  submit(read);
  let_it_begin(channel.read_fd);
  aiocb write = make_write(channel.read_fd, "ping", 4);
  submit(write);
  note("waiting for the write behind the read");
  EXPECT_EQ(result_of(write), 4);
  EXPECT(read_exactly(channel.write_fd, 4) == "ping");
  write_exactly(channel.write_fd, "pong");
  EXPECT_EQ(result_of(read), 4);
}

AIOX_CASE("a blocked write on a socket does not hold up a read on it") {
  const SocketPair pair = open_socketpair();
  fill_up(pair.a);
  const std::string data(1000, 'w');
  aiocb write = make_write(pair.a, data.data(), data.size());
  submit(write);
  let_it_begin(pair.a);
  write_exactly(pair.b, "ping");
  char buffer[16];
  aiocb read = make_read(pair.a, buffer, sizeof buffer);
  submit(read);
  note("waiting for the read behind the write");
  EXPECT_EQ(result_of(read), 4);
  EXPECT_EQ(aio_error(&write), EINPROGRESS);
}

AIOX_CASE("200 blocked reads on pipes do not stop another file's I/O") {
  std::vector<Pipe> pipes(200);
  std::vector<aiocb> reads(pipes.size());
  std::vector<char> bytes(pipes.size());
  for (size_t i = 0; i < pipes.size(); ++i) {
    pipes[i] = open_pipe();
    reads[i] = make_read(pipes[i].read_fd, &bytes[i], 1);
    submit(reads[i]);
  }
  const int fd = open_temp_file();
  char buffer[4];
  aiocb write = make_write(fd, "data", 4);
  submit(write);
  note("waiting for the write next to blocked reads");
  EXPECT_EQ(result_of(write), 4);
  aiocb read = make_read(fd, buffer, 4);
  submit(read);
  note("waiting for the read next to blocked reads");
  EXPECT_EQ(result_of(read), 4);
  for (size_t i = 0; i < pipes.size(); ++i) {
    EXPECT_EQ(aio_error(&reads[i]), EINPROGRESS);
    const char byte = static_cast<char>(i);
    write_exactly(pipes[i].write_fd, std::string(1, byte));
  }
  for (size_t i = 0; i < pipes.size(); ++i) {
    EXPECT_EQ(result_of(reads[i]), 1);
    EXPECT_EQ(bytes[i], static_cast<char>(i));
  }
}

AIOX_CASE("200 blocked writes on pipes do not stop another file's I/O") {
  std::vector<Pipe> pipes(200);
  std::vector<aiocb> writes(pipes.size());
  for (size_t i = 0; i < pipes.size(); ++i) {
    pipes[i] = open_pipe();
    fcntl(pipes[i].write_fd, F_SETPIPE_SZ, 4096);
    fill_up(pipes[i].write_fd);
    writes[i] = make_write(pipes[i].write_fd, "x", 1);
    submit(writes[i]);
  }
  const int fd = open_temp_file();
  aiocb write = make_write(fd, "data", 4);
  submit(write);
  note("waiting for the write next to blocked writes");
  EXPECT_EQ(result_of(write), 4);
  for (size_t i = 0; i < pipes.size(); ++i) {
    EXPECT_EQ(aio_error(&writes[i]), EINPROGRESS);
    close(pipes[i].read_fd);
  }
  for (aiocb& cb : writes) EXPECT_EQ(wait_for(cb), EPIPE);
}

AIOX_CASE("100 blocked reads on eventfds, sockets and ptys do not stop another file's I/O") {
  std::vector<aiocb> reads(100);
  std::vector<std::uint64_t> values(reads.size());
  for (size_t i = 0; i < reads.size(); ++i) {
    int fd = -1;
    if (i % 10 == 0) {
      fd = open_channel(Kind::kPty).read_fd;
    } else if (i % 2 == 0) {
      fd = open_socketpair().a;
    } else {
      fd = eventfd(0, EFD_CLOEXEC);
    }
    reads[i] = make_read(fd, &values[i], sizeof values[i]);
    submit(reads[i]);
  }
  const int file = open_temp_file();
  aiocb write = make_write(file, "data", 4);
  submit(write);
  note("waiting for the write next to blocked reads");
  EXPECT_EQ(result_of(write), 4);
  for (const aiocb& cb : reads) EXPECT_EQ(aio_error(&cb), EINPROGRESS);
}

AIOX_CASE("two reads of one regular file run at the same time") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  EXPECT_EQ(ftruncate(fd, 1 << 16), 0);
  slow.hold(SlowOp::kRead);
  char buffer[2][512];
  aiocb first = make_read(fd, buffer[0], 512), second = make_read(fd, buffer[1], 512, 4096);
  submit(first);
  submit(second);
  note("waiting for both reads to reach the file");
  slow.wait_for_arrival(SlowOp::kRead, 2);
  slow.release(SlowOp::kRead);
  EXPECT_EQ(wait_for(first), 0);
  EXPECT_EQ(wait_for(second), 0);
}

AIOX_CASE("a read of a regular file is not held up by a write elsewhere in it") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  EXPECT_EQ(ftruncate(fd, 1 << 16), 0);
  slow.hold(SlowOp::kWrite);
  aiocb write = make_write(fd, "held", 4);
  submit(write);
  note("waiting for the write to reach the file");
  slow.wait_for_arrival(SlowOp::kWrite, 1);
  char buffer[512];
  aiocb read = make_read(fd, buffer, sizeof buffer, 8192);
  submit(read);
  note("waiting for the read behind the held write");
  EXPECT_EQ(result_of(read), 512);
  EXPECT_EQ(aio_error(&write), EINPROGRESS);
  slow.release(SlowOp::kWrite);
  EXPECT_EQ(result_of(write), 4);
}

void append_in_order(int extra_flags, size_t bytes) {
  const int fd = open_temp_file(O_APPEND | extra_flags);
  const size_t count = extra_flags != 0 ? 200 : 1000;
  std::vector<aiocb> cbs(count);
  void* memory = nullptr;
  EXPECT_EQ(posix_memalign(&memory, 4096, bytes * count), 0);
  char* const data = static_cast<char*>(memory);
  std::memset(data, 0, bytes * count);
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(data + i * bytes, &i, sizeof i);
    cbs[i] = make_write(fd, data + i * bytes, bytes, static_cast<off_t>(i % 3));  // the offset must not matter
    if (extra_flags != 0) cbs[i].aio_offset = 0;
  }
  for (aiocb& cb : cbs) submit(cb);
  for (aiocb& cb : cbs) EXPECT_EQ(result_of(cb), static_cast<ssize_t>(bytes));
  for (size_t i = 0; i < count; ++i) {
    size_t value = 0;
    EXPECT_EQ(pread(fd, data, bytes, static_cast<off_t>(i * bytes)), static_cast<ssize_t>(bytes));
    std::memcpy(&value, data, sizeof value);
    EXPECT_EQ(value, i);
  }
}

AIOX_CASE("O_APPEND writes land in the order of their calls") { append_in_order(0, 16); }

AIOX_CASE("O_APPEND writes with O_DIRECT land in the order of their calls") {
  close(open_channel(Kind::kDirect).write_fd);  // skips where there is no O_DIRECT
  append_in_order(O_DIRECT, 4096);
}

// Many small writes and reads queued on a stream: the bytes arrive in call order, at both ends.
void stream_order(Kind kind) {
  Channel channel = open_channel(kind);
  const size_t count = 400, bytes = 8;
  std::vector<std::string> out(count), in(count, std::string(bytes, '\0'));
  std::vector<aiocb> writes(count), reads(count);
  for (size_t i = 0; i < count; ++i) {
    out[i] = "w" + std::to_string(1000000 + i);
    reads[i] = make_read(channel.read_fd, in[i].data(), bytes);
    writes[i] = make_write(channel.write_fd, out[i].data(), bytes);
  }
  for (aiocb& cb : reads) submit(cb);
  for (aiocb& cb : writes) submit(cb);
  std::string sent, received;
  note("waiting for the writes");
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(result_of(writes[i]), static_cast<ssize_t>(bytes));
    sent += out[i];
  }
  note("waiting for the reads");
  for (size_t i = 0; i < count && received.size() < sent.size(); ++i) {
    received.append(in[i], 0, static_cast<size_t>(result_of(reads[i])));
  }
  if (received.size() < sent.size()) received += read_exactly(channel.read_fd, sent.size() - received.size());
  EXPECT(received == sent);
}

AIOX_CASE("reads and writes queued on a pipe keep the order of their calls") { stream_order(Kind::kPipe); }
AIOX_CASE("reads and writes queued on a FIFO keep the order of their calls") { stream_order(Kind::kFifo); }
AIOX_CASE("reads and writes queued on a socket keep the order of their calls") { stream_order(Kind::kSocketpair); }
AIOX_CASE("reads and writes queued on a pty keep the order of their calls") { stream_order(Kind::kPty); }

// Writes far larger than the buffer between the ends: each is done in full, in order, as blocking writes are.
void large_stream_writes(Kind kind) {
  Channel channel = open_channel(kind);
  const size_t bytes = 300000, count = 4;
  const std::string data = pattern(bytes * count, 6);
  std::vector<aiocb> writes(count);
  for (size_t i = 0; i < count; ++i) {
    writes[i] = make_write(channel.write_fd, data.data() + i * bytes, bytes);
    submit(writes[i]);
  }
  note("reading what the writes send");
  EXPECT(read_exactly(channel.read_fd, data.size()) == data);
  note("waiting for the writes");
  for (aiocb& cb : writes) EXPECT_EQ(result_of(cb), static_cast<ssize_t>(bytes));
}

AIOX_CASE("writes larger than a pipe's capacity are done in full") { large_stream_writes(Kind::kPipe); }
AIOX_CASE("writes larger than a FIFO's capacity are done in full") { large_stream_writes(Kind::kFifo); }
AIOX_CASE("writes larger than a socket's buffer are done in full") { large_stream_writes(Kind::kSocketpair); }
AIOX_CASE("writes larger than a pty's buffer are done in full") { large_stream_writes(Kind::kPty); }

AIOX_CASE("neighbouring writes to a file that takes a little at a time end as each alone would") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  slow.cap_writes(3000);
  const size_t bytes = 2048, count = 64;
  const std::string data = pattern(bytes * count, 8);
  std::vector<aiocb> writes(count);
  std::vector<aiocb*> list;
  for (size_t i = 0; i < count; ++i) {
    writes[i] = make_write(fd, data.data() + i * bytes, bytes, static_cast<off_t>(i * bytes));
    list.push_back(&writes[i]);
  }
  note("waiting for the writes");
  EXPECT_EQ(lio_listio(LIO_WAIT, list.data(), static_cast<int>(count), nullptr), 0);
  for (aiocb& cb : writes) EXPECT_EQ(result_of(cb), static_cast<ssize_t>(bytes));
  std::string back(data.size(), '\0');
  EXPECT_EQ(pread(fd, back.data(), back.size(), 0), static_cast<ssize_t>(back.size()));
  EXPECT(back == data);
}

AIOX_CASE("a write that fails does not fail the writes next to it") {
  SlowFile slow;
  const int fd = slow.open(O_RDWR);
  const size_t bytes = 2048, count = 64, bad = 37;
  slow.fail_at(static_cast<std::int64_t>(bad * bytes + 100));
  const std::string data = pattern(bytes * count, 9);
  std::vector<aiocb> writes(count);
  for (size_t i = 0; i < count; ++i) {
    writes[i] = make_write(fd, data.data() + i * bytes, bytes, static_cast<off_t>(i * bytes));
  }
  for (aiocb& cb : writes) submit(cb);
  note("waiting for the writes");
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(wait_for(writes[i]), i == bad ? EIO : 0);
    EXPECT_EQ(aio_return(&writes[i]), i == bad ? -1 : static_cast<ssize_t>(bytes));
  }
  slow.fail_at(-1);
  std::string back(data.size(), '\0');
  EXPECT_EQ(pread(fd, back.data(), back.size(), 0), static_cast<ssize_t>(back.size()));
  for (size_t i = 0; i < count; ++i) {
    if (i != bad) EXPECT(back.compare(i * bytes, bytes, data, i * bytes, bytes) == 0);
  }
}

AIOX_CASE("overlapping writes queued one after another leave the last one's bytes") {
  const int fd = open_temp_file();
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> data;
    for (int i = 0; i < 8; ++i) data.push_back(std::string(64, static_cast<char>('a' + (round + i) % 26)));
    std::vector<aiocb> writes(data.size());
    for (size_t i = 0; i < data.size(); ++i) {
      writes[i] = make_write(fd, data[i].data(), data[i].size(), static_cast<off_t>(i % 2));
      submit(writes[i]);
    }
    for (aiocb& cb : writes) EXPECT_EQ(result_of(cb), 64);
    char back[65];
    EXPECT_EQ(pread(fd, back, 65, 0), 65);
    EXPECT_EQ(back[1], data.back()[0]);
    EXPECT_EQ(back[64], data.back()[0]);
    EXPECT_EQ(back[0], data[data.size() - 2][0]);
  }
}

}  // namespace
}  // namespace conformance
