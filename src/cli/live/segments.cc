#include "cli/live/segments.h"

#include <signal.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include <fmt/format.h>

namespace aiox::cli {
namespace {

constexpr unsigned kDestroyed = 01000;  // SHM_DEST: marked for removal
constexpr std::uint64_t kClockSlackNs = 50'000'000;

// A line of /proc/sysvipc/shm.
struct Listed {
  int id;
  std::size_t size_bytes;
  pid_t creator;
};

// Of those that may be ours: marked for removal, without a key, of a size that fits.
std::vector<Listed> listed_segments() {
  std::vector<Listed> found;
  std::ifstream in("/proc/sysvipc/shm");
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::istringstream words(line);
    long key = 0;
    Listed one{};
    std::string mode;
    if (!(words >> key >> one.id >> mode >> one.size_bytes >> one.creator)) continue;
    if (key != 0 || (std::strtoul(mode.c_str(), nullptr, 8) & kDestroyed) == 0) continue;
    if (one.size_bytes > sizeof(stats::SegmentHeader)) found.push_back(one);
  }
  return found;
}

bool has_our_size(std::size_t size_bytes) {
  return (size_bytes - sizeof(stats::SegmentHeader)) % sizeof(stats::ProcessFigures) == 0;
}

// When the process began, on CLOCK_BOOTTIME; nothing: there is none.
std::optional<std::uint64_t> start_of(pid_t id) {
  std::ifstream in(fmt::format("/proc/{}/stat", id));
  std::string text;
  if (!std::getline(in, text)) return {};
  const std::size_t end = text.rfind(')');  // the name in front may hold anything
  if (end == std::string::npos) return {};
  std::istringstream words(text.substr(end + 1));
  std::string word;
  for (int field = 3; field <= 22 && words >> word; ++field) {
    if (field == 3 && (word == "Z" || word == "X")) return {};
  }
  const std::uint64_t per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return std::strtoull(word.c_str(), nullptr, 10) * (1'000'000'000 / per_second);
}

std::string program_name(const stats::ProcessFigures& figures) {
  return {figures.name, ::strnlen(figures.name, sizeof figures.name)};
}

// Whether `id` is the process of those figures, and no later one that has its number.
bool is_process_of(const stats::ProcessFigures& figures, pid_t id) {
  const auto start_ns = start_of(id);
  return start_ns && *start_ns <= figures.begin_boot_ns + kClockSlackNs;
}

// The id that the process of those figures has here: its own, where it is the creator of the segment in another container.
std::optional<pid_t> id_here(const stats::ProcessFigures& figures, pid_t creator, bool is_only_one) {
  const pid_t id = is_only_one && creator > 0 ? creator : figures.process_id;
  if (is_process_of(figures, id)) return id;
  return {};
}

}  // namespace

std::shared_ptr<const Segment> Segment::attach(int id) {
  shmid_ds status{};
  void* address = ::shmat(id, nullptr, SHM_RDONLY);
  if (address == reinterpret_cast<void*>(-1)) return nullptr;
  const bool has_size = ::shmctl(id, IPC_STAT, &status) == 0;
  auto* header = static_cast<stats::SegmentHeader*>(address);
  if (has_size && stats::is_segment(header, status.shm_segsz) && has_our_size(status.shm_segsz)) {
    const std::size_t places = (status.shm_segsz - sizeof(stats::SegmentHeader)) / sizeof(stats::ProcessFigures);
    return std::shared_ptr<const Segment>(new Segment(header, static_cast<std::uint32_t>(places)));
  }
  ::shmdt(address);
  errno = 0;
  return nullptr;
}

Segment::~Segment() { ::shmdt(header_); }

std::uint32_t Segment::process_count() const {
  return std::min(header_->taken.load(std::memory_order_acquire), places_);
}

bool is_alive(const Process& process) { return is_process_of(process.figures(), process.id); }

Found find_processes(const std::vector<Process>& known) {
  Found found;
  for (const Listed& one : listed_segments()) {
    const auto same = [&one](const Process& process) { return process.segment_id == one.id; };
    const auto attached = std::find_if(known.begin(), known.end(), same);
    std::shared_ptr<const Segment> segment;
    if (attached != known.end()) {
      segment = attached->segment;
    } else if (has_our_size(one.size_bytes)) {
      segment = Segment::attach(one.id);
      if (segment == nullptr && errno == EACCES) found.forbidden.push_back(one.creator);
    }
    if (segment == nullptr) continue;
    for (std::uint32_t i = 0; i < segment->process_count(); ++i) {
      const stats::ProcessFigures& figures = segment->figures(i);
      if (figures.is_live.load(std::memory_order_acquire) == 0) continue;
      const auto id = id_here(figures, one.creator, segment->places() == 1);
      if (!id) continue;
      struct stat status{};
      const std::string proc = fmt::format("/proc/{}", *id);
      if (::stat(proc.c_str(), &status) != 0) continue;
      found.processes.push_back({*id, status.st_uid, program_name(figures), one.id, i, segment});
    }
  }
  // One that has become another program (exec) has left figures behind in a segment of many: the last are its own.
  auto& all = found.processes;
  std::sort(all.begin(), all.end(), [](const Process& a, const Process& b) {
    return a.id != b.id ? a.id < b.id : a.figures().begin_boot_ns > b.figures().begin_boot_ns;
  });
  all.erase(std::unique(all.begin(), all.end(), [](const Process& a, const Process& b) { return a.id == b.id; }), all.end());
  return found;
}

}  // namespace aiox::cli
