// storage.h - what a path is, on which file system and device, and what these want of O_DIRECT.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aiox::cli::doctor {

enum class PathKind { kFile, kFolder, kBlockDevice, kPipe, kSocket, kTerminal, kCharacterDevice };
const char* name_of(PathKind kind);

struct Device {
  std::string number;           // 254:0
  std::string name;             // vda1
  std::string kind;             // virtio disk, loop device ...
  std::vector<std::string> on;  // the file of a loop device, the devices of device mapper's or md's
  std::optional<std::uint64_t> size_bytes;
  std::optional<std::uint64_t> logical_block_bytes;
  std::optional<std::uint64_t> physical_block_bytes;
  std::optional<std::uint64_t> requests_max;       // queue/nr_requests
  std::optional<std::uint64_t> request_bytes_max;  // queue/max_sectors_kb
  std::optional<bool> is_rotational;
  std::string scheduler;  // the one in use
  std::string write_cache;
};

// What O_DIRECT wants, as statx says (Linux 6.1, and not every file system); 0: it is not supported.
struct Alignment {
  std::uint32_t memory_bytes;
  std::uint32_t offset_bytes;
};
// Of the file at `path` below `folder`, or of the descriptor `folder` itself where `path` is empty.
std::optional<Alignment> direct_alignment_of(int folder, const char* path);

struct Storage {
  std::string path;
  PathKind kind = PathKind::kFile;
  std::uint64_t size_bytes = 0;
  unsigned character_major = 0;
  unsigned character_minor = 0;
  bool is_readable = true;

  std::string file_system;  // ext4, fuse.sshfs; empty where there is none
  std::string mount_point;
  std::string mount_source;
  std::string mount_options;
  bool is_in_memory = false;  // tmpfs and its like: nothing is ever cold
  bool is_read_only = false;

  std::optional<Device> device;

  std::optional<Alignment> direct;  // of a file or device; of a folder's files the trial tells
};

// Throws Exit after saying so when there is no such path.
Storage look_at_storage(const std::string& path);

}  // namespace aiox::cli::doctor
