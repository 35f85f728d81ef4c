// interrupt.h - Ctrl-C, SIGTERM and SIGHUP while something is measured: they are remembered, and whoever waits or works
// for long looks. Whatever was made is then removed on the way out, by destructors.
#pragma once

namespace aiox::cli::bench {

class InterruptWatch {
 public:
  InterruptWatch();
  ~InterruptWatch();  // the signals are as they were
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;
};

int interrupted_by();         // the signal; 0: none
void throw_if_interrupted();  // Exit with the shell's status for it, after a line that says so

}  // namespace aiox::cli::bench
