// own_uring.h - programs that can use io_uring by themselves, where aiox has nothing to answer: which setting of theirs
// decides, by the name of the program or of the library that makes the calls.
#pragma once

#include <string>
#include <vector>

namespace aiox::cli {

struct OwnUring {
  const char* name_begins;  // of the program's file, or of a library's
  bool is_first_choice;     // taken without a setting, where the kernel has io_uring
  bool is_by_number;        // without liburing, so that no import shows it
  const char* setting;      // a sentence: what has the program make AIO calls
};

// By the program, else by one of the files that make io_uring calls; nullptr: none that is known.
const OwnUring* find_own_uring(const std::string& program, const std::vector<std::string>& uring_users);

}  // namespace aiox::cli
