// matrix.cc - every kind of file with every completion method: what goes in comes out, in one piece and in many, and
// the end of the data is told as read(2) would tell it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "case_runner.h"
#include "channels.h"
#include "requests.h"

namespace conformance {
namespace {

using aiox_test::case_seed;
using aiox_test::note;

constexpr size_t kPieceBytes = 512;
constexpr size_t kPieceCount = 6;  // 3 KiB in all: fits every kind's buffer, and a pty's line discipline

size_t piece_bytes(const Channel& channel) { return std::max(kPieceBytes, channel.block_bytes); }

void complete_one(Method method, aiocb& cb) {
  std::vector<aiocb*> one{&cb};
  complete_all(method, one);
}

// One write, then one read of the same bytes.
void round_trip(Kind kind, Method method) {
  Channel channel = open_channel(kind);
  const size_t bytes = piece_bytes(channel);
  char* const out = aligned_memory(bytes);
  char* const in = aligned_memory(bytes);
  const std::string data = pattern(bytes, static_cast<unsigned>(case_seed()));
  std::memcpy(out, data.data(), bytes);

  aiocb write = make_write(channel.write_fd, out, bytes);
  complete_one(method, write);
  EXPECT_EQ(aio_error(&write), 0);
  EXPECT_EQ(aio_return(&write), static_cast<ssize_t>(bytes));

  aiocb read = make_read(channel.read_fd, in, bytes);
  complete_one(method, read);
  EXPECT_EQ(aio_error(&read), 0);
  EXPECT_EQ(aio_return(&read), static_cast<ssize_t>(bytes));
  EXPECT(std::memcmp(in, data.data(), bytes) == 0);
}

// The reads of a stream may be short; together and in call order they are the data.
std::string gather(const Channel& channel, std::vector<aiocb>& reads, size_t expected_bytes) {
  std::string all;
  for (aiocb& cb : reads) {
    EXPECT_EQ(aio_error(&cb), 0);
    const ssize_t count = aio_return(&cb);
    EXPECT(count > 0);
    all.append(const_cast<const char*>(static_cast<volatile char*>(cb.aio_buf)), static_cast<size_t>(count));
  }
  if (!is_seekable(channel.kind) && all.size() < expected_bytes) {
    all += read_exactly(channel.read_fd, expected_bytes - all.size());
  }
  return all;
}

// Writes and reads in flight together: on a stream the reads are submitted first and wait for the writes.
void several_in_flight(Kind kind, Method method) {
  Channel channel = open_channel(kind);
  const size_t bytes = piece_bytes(channel);
  const size_t total = bytes * kPieceCount;
  char* const out = aligned_memory(total);
  char* const in = aligned_memory(total);
  const std::string data = pattern(total, static_cast<unsigned>(case_seed()));
  std::memcpy(out, data.data(), total);

  std::vector<aiocb> writes, reads;
  for (size_t i = 0; i < kPieceCount; ++i) {
    const off_t offset = static_cast<off_t>(i * bytes);
    writes.push_back(make_write(channel.write_fd, out + i * bytes, bytes, offset));
    reads.push_back(make_read(channel.read_fd, in + i * bytes, bytes, offset));
  }
  std::vector<aiocb*> first, second;
  for (aiocb& cb : reads) (is_seekable(kind) ? second : first).push_back(&cb);
  for (aiocb& cb : writes) first.push_back(&cb);
  complete_all(method, first);
  if (!second.empty()) complete_all(method, second);
  for (aiocb& cb : writes) {
    EXPECT_EQ(aio_error(&cb), 0);
    EXPECT_EQ(aio_return(&cb), static_cast<ssize_t>(bytes));
  }
  EXPECT(gather(channel, reads, total) == data);
}

// Less data than asked for gives the short count; then the end, exactly as plain calls see it at the same place.
void short_count_and_end(Kind kind, Method method) {
  Channel channel = open_channel(kind);
  const size_t bytes = piece_bytes(channel);
  const size_t wanted = bytes * 4;
  char* const in = aligned_memory(wanted);
  char* const out = aligned_memory(bytes);
  const std::string data = pattern(bytes, static_cast<unsigned>(case_seed()));
  std::memcpy(out, data.data(), bytes);
  off_t offset = 0;
  if (kind == Kind::kLoop) offset = lseek(channel.read_fd, 0, SEEK_END) - static_cast<off_t>(bytes);
  if (is_seekable(kind)) {
    EXPECT_EQ(pwrite(channel.write_fd, out, bytes, offset), static_cast<ssize_t>(bytes));
  } else {
    write_exactly(channel.write_fd, data);
  }

  aiocb read_short = make_read(channel.read_fd, in, wanted, offset);
  complete_one(method, read_short);
  EXPECT_EQ(aio_error(&read_short), 0);
  EXPECT_EQ(aio_return(&read_short), static_cast<ssize_t>(bytes));
  EXPECT(std::memcmp(in, data.data(), bytes) == 0);

  const off_t end_offset = offset + static_cast<off_t>(bytes);
  if (!is_seekable(kind)) end_writing(channel);
  errno = 0;
  const ssize_t plain = is_seekable(kind) ? pread(channel.read_fd, out, bytes, end_offset)
                                          : ::read(channel.read_fd, out, bytes);
  const int plain_error = errno;
  aiocb read_end = make_read(channel.read_fd, in, bytes, end_offset);
  complete_one(method, read_end);
  EXPECT_EQ(aio_error(&read_end), plain < 0 ? plain_error : 0);
  EXPECT_EQ(aio_return(&read_end), plain);
}

bool add_matrix() {
  struct Row {
    const char* property;
    void (*body)(Kind, Method);
  };
  static constexpr Row kRows[] = {{"what is written is read back", round_trip},
                                  {"several in flight keep their own bytes", several_in_flight},
                                  {"a short count and then the end", short_count_and_end}};
  for (const Row& row : kRows) {
    for (const Kind kind : kAllKinds) {
      for (const Method method : kAllMethods) {
        const std::string name = std::string("matrix ") + name_of(kind) + "/" + name_of(method) + ": " + row.property;
        aiox_test::add_case({name, name_of(kind), name_of(method), [&row, kind, method] { row.body(kind, method); }});
      }
    }
  }
  return true;
}

[[maybe_unused]] const bool matrix_added = add_matrix();

}  // namespace
}  // namespace conformance
