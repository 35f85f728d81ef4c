// facts.h - what a figure needs to be understood later: the machine, the kernel, where the file lay.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace aiox::cli::bench {

using Facts = std::vector<std::pair<std::string, std::string>>;  // name, value

Facts machine_facts();
// The file system, and what it is on, of an open file: "ext4 (/dev/vda)"; of a block device what it is. "": unknown.
std::string place_of(int fd);
std::string now_text();  // local time, with its zone

}  // namespace aiox::cli::bench
