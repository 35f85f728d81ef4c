// witness.h - tells a signal that was sent to this process alone from one that its whole process group got: a second
// process of the group, which does nothing but keep what it is sent, has got the latter too. A terminal's key, kill(2)
// with a negative number and a service manager's stop reach the program by themselves; handed on they would reach it
// twice.
#pragma once

#include <sys/types.h>

namespace aiox::cli {

class GroupWitness {
 public:
  // With all signals that are asked about blocked. Without a process to be had nothing was seen by it.
  GroupWitness();
  ~GroupWitness();
  GroupWitness(const GroupWitness&) = delete;
  GroupWitness& operator=(const GroupWitness&) = delete;

  // Whether the signal, which this process has just got, came to the group; each is told of once.
  bool saw(int signal);

 private:
  void end();

  pid_t process_ = -1;
  int channel_ = -1;
};

}  // namespace aiox::cli
