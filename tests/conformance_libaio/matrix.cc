// matrix.cc - every kind of file: what goes in comes out, alone and many at once, and the end is told as read(2) tells
// it.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "calls.h"
#include "case_runner.h"
#include "channels.h"

namespace libaio_conformance {
namespace {

using namespace conformance;

constexpr Kind kKinds[] = {Kind::kFile,       Kind::kDirect, Kind::kTmpfs, Kind::kPipe,
                           Kind::kSocketpair, Kind::kLoop,   Kind::kEventfd};
constexpr size_t kPieces = 6;

size_t piece_bytes(const Channel& channel) {
  return channel.kind == Kind::kEventfd ? 8 : std::max<size_t>(512, channel.block_bytes);
}

// Puts the data in by AIO where the file takes that.
void put(io_context_t context, const Channel& channel, const char* data, size_t bytes, off_t offset) {
  if (channel.kind == Kind::kEventfd) {
    EXPECT_EQ(write(channel.write_fd, data, bytes), static_cast<ssize_t>(bytes));
    return;
  }
  iocb block = pwrite_block(channel.write_fd, data, bytes, is_seekable(channel.kind) ? offset : 0);
  EXPECT_EQ(run(context, block), static_cast<long>(bytes));
}

std::string data_for(const Channel& channel, size_t bytes) {
  if (channel.kind != Kind::kEventfd) return pattern(bytes, static_cast<unsigned>(aiox_test::case_seed()));
  const uint64_t number = 0x0102030405060708;
  return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}

void round_trip(Kind kind) {
  Context context;
  Channel channel = open_channel(kind);
  const size_t bytes = piece_bytes(channel);
  char* const memory = aligned_memory(2 * 4096 + bytes);
  const std::string data = data_for(channel, bytes);
  std::memcpy(memory, data.data(), bytes);
  for (int round = 0; round < 20; ++round) {
    put(context, channel, memory, bytes, round * static_cast<off_t>(bytes));
    char* const in = memory + 4096;
    std::memset(in, 0, bytes);
    iocb block = pread_block(channel.read_fd, in, bytes, is_seekable(kind) ? round * static_cast<off_t>(bytes) : 0);
    EXPECT_EQ(run(context, block), static_cast<long>(bytes));
    EXPECT(std::memcmp(in, data.data(), bytes) == 0);
  }
}

// In flight together, in one list: the blocks of a stream are served in the order of the list.
void several_in_flight(Kind kind) {
  if (kind == Kind::kEventfd) aiox_test::skip_case("has one number");
  Context context;
  Channel channel = open_channel(kind);
  const size_t bytes = piece_bytes(channel), total = bytes * kPieces;
  char* const out = aligned_memory(total);
  char* const in = aligned_memory(total);
  const std::string data = pattern(total, static_cast<unsigned>(aiox_test::case_seed()));
  std::memcpy(out, data.data(), total);
  std::vector<iocb> writes, reads;
  for (size_t i = 0; i < kPieces; ++i) {
    const off_t offset = is_seekable(kind) ? static_cast<off_t>(i * bytes) : 0;
    writes.push_back(pwrite_block(channel.write_fd, out + i * bytes, bytes, offset));
    reads.push_back(pread_block(channel.read_fd, in + i * bytes, bytes, offset));
  }
  for (std::vector<iocb>* const blocks : {&writes, &reads}) {
    EXPECT_EQ(submit(context, *blocks), static_cast<long>(kPieces));
    std::vector<bool> seen(kPieces, false);
    for (const io_event& event : reap(context, kPieces)) {
      const size_t index = static_cast<size_t>(event.obj - blocks->data());
      EXPECT(index < kPieces && !seen[index]);
      seen[index] = true;
      EXPECT_EQ(result_in(event), static_cast<long>(bytes));
    }
  }
  EXPECT(std::memcmp(in, data.data(), total) == 0);
  expect_no_event(context);
}

// The reads of a stream before the writes; where io_submit waits for data that is no case.
void reads_before_writes(Kind kind) {
  if (is_seekable(kind)) aiox_test::skip_case("not a stream");
  if (!differs_from_kernel(kSubmitDoesNotWait)) aiox_test::skip_case("io_submit would wait for ever");
  Context context;
  Channel channel = open_channel(kind);
  const size_t bytes = piece_bytes(channel);
  const size_t count = kind == Kind::kEventfd ? 1 : kPieces;
  char* const in = aligned_memory(bytes * count);
  std::string data;
  std::vector<iocb> reads;
  for (size_t i = 0; i < count; ++i) reads.push_back(pread_block(channel.read_fd, in + i * bytes, bytes));
  EXPECT_EQ(submit(context, reads), static_cast<long>(count));
  Context writing;
  for (size_t i = 0; i < count; ++i) {
    const std::string piece = data_for(channel, bytes);
    data += piece;
    put(writing, channel, piece.data(), bytes, 0);
    EXPECT_EQ(reap_result(context, reads[i]), static_cast<long>(bytes));
  }
  EXPECT(std::memcmp(in, data.data(), data.size()) == 0);
  expect_no_event(context);
}

void short_count_and_end(Kind kind) {
  if (kind == Kind::kEventfd) aiox_test::skip_case("has no end");
  Context context;
  Channel channel = open_channel(kind);
  const size_t bytes = piece_bytes(channel), wanted = bytes * 4;
  char* const in = aligned_memory(wanted);
  char* const out = aligned_memory(bytes);
  const std::string data = data_for(channel, bytes);
  std::memcpy(out, data.data(), bytes);
  const off_t offset = kind == Kind::kLoop ? lseek(channel.read_fd, 0, SEEK_END) - static_cast<off_t>(bytes) : 0;
  put(context, channel, out, bytes, offset);
  iocb read_short = pread_block(channel.read_fd, in, wanted, offset);
  EXPECT_EQ(run(context, read_short), static_cast<long>(bytes));
  EXPECT(std::memcmp(in, data.data(), bytes) == 0);
  off_t end = 0;
  if (is_seekable(kind)) end = offset + static_cast<off_t>(bytes);
  else end_writing(channel);
  iocb read_end = pread_block(channel.read_fd, in, bytes, end);
  EXPECT_EQ(run(context, read_end), 0);
  iocb vectors_at_end = preadv_block(channel.read_fd, {});
  const std::vector<iovec> two{{in, bytes}, {in + bytes, bytes}};
  vectors_at_end = preadv_block(channel.read_fd, two, end);
  EXPECT_EQ(run(context, vectors_at_end), 0);
}

void results_are_those_of_plain_calls(Kind kind) {
  if (!is_seekable(kind)) aiox_test::skip_case("not seekable");
  Context context;
  Channel channel = open_channel(kind);
  char* const memory = aligned_memory(1 << 20);
  char* const plain = aligned_memory(1 << 20);
  const std::string data = pattern(1 << 20, static_cast<unsigned>(aiox_test::case_seed()));
  std::memcpy(memory, data.data(), data.size());
  iocb big = pwrite_block(channel.write_fd, memory, data.size());
  EXPECT_EQ(run(context, big), static_cast<long>(data.size()));
  for (const off_t offset : {0, 4096, (1 << 20) - 4096, 1 << 20, (1 << 20) + 4096}) {
    for (const size_t bytes : {size_t{4096}, size_t{65536}, size_t{1} << 20}) {
      std::memset(plain, 0, bytes);
      std::memset(memory, 0, bytes);
      const ssize_t expected = pread(channel.read_fd, plain, bytes, offset);
      iocb block = pread_block(channel.read_fd, memory, bytes, offset);
      EXPECT_EQ(run(context, block), expected);
      EXPECT(std::memcmp(plain, memory, bytes) == 0);
    }
  }
}

bool add_matrix() {
  struct Row {
    const char* property;
    void (*body)(Kind);
  };
  static constexpr Row kRows[] = {{"what is written is read back", round_trip},
                                  {"several in flight keep their own bytes", several_in_flight},
                                  {"reads that are submitted first get what is written then", reads_before_writes},
                                  {"a short count and then the end", short_count_and_end},
                                  {"results are those of plain calls", results_are_those_of_plain_calls}};
  for (const Row& row : kRows) {
    for (const Kind kind : kKinds) {
      const std::string name = std::string("matrix ") + name_of(kind) + ": " + row.property;
      aiox_test::add_case({name, name_of(kind), {}, [&row, kind] { row.body(kind); }});
    }
  }
  return true;
}
[[maybe_unused]] const bool matrix_added = add_matrix();

}  // namespace
}  // namespace libaio_conformance
