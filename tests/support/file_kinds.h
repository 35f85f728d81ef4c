// file_kinds.h - files of every kind that Linux has, each in the states that matter to a read or a write.
//
// For tests that compare an answer with the plain call's: each kind is opened twice, alike, once for the call and once
// for the subject.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace aiox_test {

struct OpenFile {
  int fd = -1;                  // -1: this kind is not to be had here
  std::function<void()> end;    // ends the call that waits there; empty: nothing does
  bool has_own_bytes = false;   // what is read differs from one opening to the next
};

struct FileState {
  const char* name;
  std::function<OpenFile(int twin)> open;  // twin: 0 or 1, for what must not be shared
};

// What reads are tried on, and what writes are.
std::vector<FileState> readable_states();
std::vector<FileState> writable_states();

// How a call went: bytes, or -errno.
struct Answer {
  bool is_there = false;
  long result = 0;
};

// One of the two: starts, and is asked for its answer from time to time.
struct Attempt {
  std::function<void(int fd, void* data, size_t bytes, long long offset)> start;
  std::function<Answer()> look;
};

struct Comparing {
  bool is_read = true;  // the readable states, or the writable ones
  size_t bytes = 0;
  long long offset = 0;
  std::function<Attempt(int fd)> make;
  std::set<std::string> without = {};  // states that the subject answers in another way
  // The plain call: bytes, or -errno. Empty: pread or pwrite, and read or write where that says ESPIPE.
  std::function<long(int fd, void* data)> call = {};
};

// For each state: the plain call on one of the twins, the subject on the other; both must answer alike, or both wait,
// and once what they wait for has been done, answer alike. Fails the case with a list of all differences.
void compare_with_plain_calls(const Comparing& comparing);

}  // namespace aiox_test
