// imports.h - whether a program could make an AIO call at all, by the names that it and its libraries ask the loader for.
#pragma once

#include <string>

namespace aiox::cli {

// True only when it is certain that there is nothing for aiox in the program: neither it nor one of its libraries imports a
// call of POSIX AIO or of native AIO, nor syscall, nor what loads more code (dlopen) or starts other programs (exec).
// What cannot be read is not certain. Starts the program's loader to list its libraries; never the program.
bool is_without_aio(const std::string& path);

}  // namespace aiox::cli
