// child.h - runs a program below this process, and is as good as the program to whoever started this one: it stops when
// the program stops, hands on signals, and ends as the program has ended.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace aiox::cli {

// Becomes the program. Returns errno.
int execute(const std::vector<std::string>& words);

struct Outcome {
  int status;      // of waitpid
  double seconds;  // from start to end
};
// Starts it and waits for its end. *error: errno, where it could not be started. The program dies with this process.
// Every now and then meanwhile `look` is called.
Outcome run_below(const std::vector<std::string>& words, const std::function<void()>& look, int* error);

// Ends this process as the other has: with its exit status, or by its signal. Does not return, but by Exit.
[[noreturn]] void end_as(const Outcome& outcome);

}  // namespace aiox::cli
