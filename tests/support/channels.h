// channels.h - the kinds of file the conformance suites run over, each as a channel: a descriptor to write to and one
// to read from.
//
// Nothing here uses AIO. Files are unlinked as soon as they are open, loop devices detach on their last close, so a
// case that dies leaves nothing behind. Functions that cannot provide a kind here end the case as skipped.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace conformance {

enum class Kind { kFile, kDirect, kTmpfs, kPipe, kFifo, kSocketpair, kPty, kLoop, kEventfd };

// Those that carry any bytes: an eventfd takes numbers only.
inline constexpr Kind kAllKinds[] = {Kind::kFile, Kind::kDirect,     Kind::kTmpfs, Kind::kPipe,
                                     Kind::kFifo, Kind::kSocketpair, Kind::kPty,   Kind::kLoop};

const char* name_of(Kind kind);
bool is_seekable(Kind kind);

struct Channel {
  Kind kind;
  int write_fd = -1;
  int read_fd = -1;       // the same as write_fd for seekable kinds
  size_t block_bytes = 1; // lengths, offsets and addresses must be multiples of it
};

Channel open_channel(Kind kind);

// No more data will come: closes or shuts down the writing end. Streams only.
void end_writing(Channel& channel);

// An open, unlinked file in the scratch directory (a real disk), with these flags besides O_RDWR | O_CREAT.
int open_temp_file(int flags = 0);

// The same, opened as often as there are flag words (each O_RDONLY, O_WRONLY or O_RDWR and more): one file.
std::vector<int> open_temp_file_as(const std::vector<int>& flags);

struct Pipe {
  int read_fd = -1, write_fd = -1;
};
Pipe open_pipe(int flags = 0);

struct SocketPair {
  int a = -1, b = -1;
};
SocketPair open_socketpair();

// Fills the pipe or socket until a write would block. Returns the number of bytes.
size_t fill_up(int fd);

// Reads exactly count bytes with read(2); fails the case if that many do not come.
std::string read_exactly(int fd, size_t count);

// write(2) in full.
void write_exactly(int fd, const std::string& data);

// Zeroed memory aligned to a page, as O_DIRECT wants it; never given back.
char* aligned_memory(size_t bytes);

// Bytes that can be recognised again: a function of the seed and the place.
std::string pattern(size_t count, unsigned seed);

}  // namespace conformance
