#include "cli/doctor/storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "cli/doctor/doctor.h"
#include "cli/doctor/machine.h"
#include "cli/exit.h"
#include "cli/text/terminal.h"

namespace aiox::cli::doctor {
namespace {

constexpr unsigned kTerminalMajors[] = {4, 5, 136, 137, 138, 139, 140, 141, 142, 143};

[[noreturn]] void fail(const std::string& path, int error) {
  say("aiox doctor: {}: {}\n", path, std::strerror(error));
  throw Exit{kSomethingDoesNotWork};
}

std::string number_text(dev_t device) { return fmt::format("{}:{}", major(device), minor(device)); }

// The word in brackets: "none [mq-deadline] kyber".
std::string chosen(const std::string& line) {
  const std::size_t begin = line.find('[');
  const std::size_t end = line.find(']');
  return begin == std::string::npos || end == std::string::npos ? line : line.substr(begin + 1, end - begin - 1);
}

bool begins_with(const std::string& text, const char* begin) { return text.rfind(begin, 0) == 0; }

std::string kind_of(const std::string& name) {
  constexpr struct {
    const char* begin;
    const char* kind;
  } kKinds[] = {{"nvme", "NVMe"},
                {"vd", "virtio disk"},
                {"loop", "loop device"},
                {"zram", "RAM disk (zram)"},
                {"ram", "RAM disk"},
                {"dm-", "device mapper"},
                {"md", "RAID (md)"},
                {"mmcblk", "memory card"},
                {"nbd", "network disk (nbd)"},
                {"rbd", "Ceph (rbd)"},
                {"xvd", "Xen disk"},
                {"sr", "optical disk"},
                {"sd", "SCSI or SATA disk"},
                {"pmem", "persistent memory"},
                {"nullb", "null device"}};
  for (const auto& entry : kKinds) {
    if (begins_with(name, entry.begin)) return entry.kind;
  }
  return "block device";
}

Device look_at_device(dev_t number) {
  Device device;
  device.number = number_text(number);
  std::error_code error;
  const auto self = std::filesystem::canonical("/sys/dev/block/" + device.number, error);
  if (error) return device;
  device.name = self.filename().string();
  if (const auto sectors = read_number((self / "size").string())) device.size_bytes = *sectors * 512;
  // A partition has the queue of its disk.
  const bool is_partition = std::filesystem::exists(self / "partition", error);
  const auto disk = is_partition ? self.parent_path() : self;
  device.kind = kind_of(disk.filename().string());
  if (is_partition) device.kind += ", a partition of " + disk.filename().string();
  if (const auto file = read_line((disk / "loop/backing_file").string())) device.on.push_back(*file);
  if (const auto name = read_line((disk / "dm/name").string())) device.kind += " " + *name;
  for (const std::string& name : names_in((disk / "slaves").string())) device.on.push_back(name);
  const auto queue = [&disk](const char* name) { return (disk / "queue" / name).string(); };
  device.logical_block_bytes = read_number(queue("logical_block_size"));
  device.physical_block_bytes = read_number(queue("physical_block_size"));
  device.requests_max = read_number(queue("nr_requests"));
  if (const auto kib = read_number(queue("max_sectors_kb"))) device.request_bytes_max = *kib * 1024;
  if (const auto value = read_number(queue("rotational"))) device.is_rotational = *value != 0;
  device.scheduler = chosen(read_line(queue("scheduler")).value_or(""));
  device.write_cache = read_line(queue("write_cache")).value_or("");
  return device;
}

// mountinfo writes blanks as \040.
std::string unescaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The mount by the number that statx gives; by the device's where that is not known.
void look_at_mount(std::uint64_t mount_id, dev_t device, Storage* storage) {
  std::ifstream in("/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::uint64_t id = 0;
    std::string parent, number, root, point, options, word;
    words >> id >> parent >> number >> root >> point >> options;
    if (mount_id != 0 ? id != mount_id : number != number_text(device)) continue;
    while (words >> word && word != "-") {
    }
    words >> storage->file_system >> storage->mount_source;
    storage->mount_point = unescaped(point);
    storage->mount_source = unescaped(storage->mount_source);
    storage->mount_options = options;
  }
}

void look_at_file_system(Storage* storage, dev_t device, std::uint64_t mount_id) {
  look_at_mount(mount_id, device, storage);
  struct statfs status {};
  if (::statfs(storage->path.c_str(), &status) == 0) {
    if (storage->file_system.empty()) {
      storage->file_system = fmt::format("file system {:#x}", static_cast<unsigned long>(status.f_type));
    }
    storage->is_read_only = (status.f_flags & ST_RDONLY) != 0;
  }
  storage->is_in_memory =
      storage->file_system == "tmpfs" || storage->file_system == "ramfs" || storage->file_system == "devtmpfs";
  struct stat source {};
  if (major(device) != 0) {
    storage->device = look_at_device(device);
  } else if (begins_with(storage->mount_source, "/dev/") && ::stat(storage->mount_source.c_str(), &source) == 0 &&
             S_ISBLK(source.st_mode)) {
    storage->device = look_at_device(source.st_rdev);  // btrfs has device numbers of its own
  }
}

PathKind kind_of(const struct stat& status) {
  if (S_ISREG(status.st_mode)) return PathKind::kFile;
  if (S_ISDIR(status.st_mode)) return PathKind::kFolder;
  if (S_ISBLK(status.st_mode)) return PathKind::kBlockDevice;
  if (S_ISFIFO(status.st_mode)) return PathKind::kPipe;
  if (S_ISSOCK(status.st_mode)) return PathKind::kSocket;
  for (const unsigned terminal : kTerminalMajors) {
    if (major(status.st_rdev) == terminal) return PathKind::kTerminal;
  }
  return PathKind::kCharacterDevice;
}

}  // namespace

const char* name_of(PathKind kind) {
  switch (kind) {
    case PathKind::kFile: return "file";
    case PathKind::kFolder: return "folder";
    case PathKind::kBlockDevice: return "block device";
    case PathKind::kPipe: return "pipe";
    case PathKind::kSocket: return "socket";
    case PathKind::kTerminal: return "terminal";
    case PathKind::kCharacterDevice: return "character device";
  }
  return "?";
}

std::optional<Alignment> direct_alignment_of(int folder, const char* path) {
#ifdef STATX_DIOALIGN
  struct statx status {};
  const int flags = *path == '\0' ? AT_EMPTY_PATH : 0;
  if (::statx(folder, path, flags, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) != 0) {
    return Alignment{status.stx_dio_mem_align, status.stx_dio_offset_align};
  }
#else
  static_cast<void>(folder);
  static_cast<void>(path);
#endif
  return std::nullopt;
}

Storage look_at_storage(const std::string& path) {
  Storage storage;
  storage.path = path;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) fail(path, errno);
  storage.kind = kind_of(status);
  storage.size_bytes = static_cast<std::uint64_t>(status.st_size);
  storage.character_major = major(status.st_rdev);
  storage.character_minor = minor(status.st_rdev);
  storage.is_readable = ::access(path.c_str(), R_OK) == 0;
  std::uint64_t mount_id = 0;
  struct statx more {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &more) == 0 && (more.stx_mask & STATX_MNT_ID) != 0) {
    mount_id = more.stx_mnt_id;
  }
  if (storage.kind == PathKind::kFile || storage.kind == PathKind::kBlockDevice) {
    storage.direct = direct_alignment_of(AT_FDCWD, path.c_str());
  }
  if (storage.kind == PathKind::kBlockDevice) {
    storage.device = look_at_device(status.st_rdev);
    if (storage.device->size_bytes) storage.size_bytes = *storage.device->size_bytes;
  } else {
    look_at_file_system(&storage, status.st_dev, mount_id);
  }
  return storage;
}

}  // namespace aiox::cli::doctor
