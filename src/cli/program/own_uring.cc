#include "cli/program/own_uring.h"

#include <filesystem>

namespace aiox::cli {
namespace {

constexpr const char* kMariaDb =
    "innodb_linux_aio=aio has InnoDB make libaio's calls, which aiox answers (MariaDB 10.11.14, 11.4.8, 11.8.3, 12.0.2 "
    "and "
    "later; older ones from 10.6 on have no choice: they use what they were built with).";
constexpr const char* kQemu =
    "aio=native with cache.direct=on (qemu-img and qemu-io: -n) has it make libaio's calls, which aiox answers; "
    "aio=io_uring passes aiox by.";

// Without a setting only MariaDB goes to io_uring. nginx knows native AIO alone, and so do MySQL and Percona Server.
constexpr OwnUring kKnown[] = {
    {"mariadbd", true, false, kMariaDb},
    {"mariadb-backup", true, false, kMariaDb},
    {"mariabackup", true, false, kMariaDb},
    {"mysqld", true, false, kMariaDb},
    {"qemu-", false, false, kQemu},
    {"fio", false, true,
     "ioengine=libaio and ioengine=posixaio make calls that aiox answers; io_uring and io_uring_cmd pass aiox by."},
    {"postgres", false, false,
     "io_method=io_uring passes aiox by; the other methods, worker and sync, make no AIO calls either."},
    {"ceph-osd", false, false, "bdev_ioring=false, the default, has it make libaio's calls, which aiox answers."},
    {"smbd", false, false, "\"vfs objects = io_uring\" passes aiox by."},
    {"scylla", false, false,
     "--reactor-backend=linux-aio has it make native AIO calls; io_uring as that backend passes aiox by."},
    {"librocksdb", false, false,
     "RocksDB uses io_uring for MultiGet and async_io where the program says so (RocksDbIOUringEnable), else plain "
     "reads: "
     "aiox answers neither."},
};

bool begins_with(const std::string& path, const char* begin) {
  return std::filesystem::path(path).filename().string().rfind(begin, 0) == 0;
}

}  // namespace

const OwnUring* find_own_uring(const std::string& program, const std::vector<std::string>& uring_users) {
  for (const OwnUring& known : kKnown) {
    if (begins_with(program, known.name_begins) && (known.is_by_number || !uring_users.empty())) return &known;
  }
  for (const OwnUring& known : kKnown) {
    for (const std::string& user : uring_users) {
      if (begins_with(user, known.name_begins)) return &known;
    }
  }
  return nullptr;
}

}  // namespace aiox::cli
