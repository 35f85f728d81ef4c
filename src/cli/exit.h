// exit.h - how a subcommand ends the process other than by success.
#pragma once

namespace aiox::cli {

// Thrown to main: the exit status to end with; everything to be said has been said.
struct Exit {
  int status;
};

inline constexpr int kExitFailed = 1;

// Exit statuses of `aiox run` itself (those of env(1) and the shell); all others are the program's.
inline constexpr int kExitUsage = 2;
inline constexpr int kExitRunFailed = 125;
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;

}  // namespace aiox::cli
