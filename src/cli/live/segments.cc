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
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "stats/ticks.h"

namespace aiox::cli {
namespace {

constexpr unsigned kDestroyed = 01000;  // SHM_DEST: marked for removal
constexpr std::uint64_t kClockSlackNs = 50'000'000;
constexpr std::size_t kPageBytes = 4096;  // or more

// A line of /proc/sysvipc/shm.
struct Listed {
  int id;
  std::size_t size_bytes;
  pid_t creator;
  // Bytes that its users have written to, in memory or swapped out: to look at others would make them.
  std::size_t held_bytes;
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
    // As ipcs has them: lpid nattch uid gid cuid cgid atime dtime ctime, then those in memory, those swapped out.
    std::string skipped;
    for (int i = 0; i < 9; ++i) words >> skipped;
    std::size_t swapped_bytes = 0;
    if (!(words >> one.held_bytes >> swapped_bytes)) one.held_bytes = one.size_bytes, swapped_bytes = 0;
    one.held_bytes += swapped_bytes;
    if (key != 0 || (std::strtoul(mode.c_str(), nullptr, 8) & kDestroyed) == 0) continue;
    if (one.size_bytes > sizeof(stats::SegmentHeader)) found.push_back(one);
  }
  return found;
}

bool has_our_size(std::size_t size_bytes) {
  return (size_bytes - sizeof(stats::SegmentHeader)) % sizeof(stats::ProcessFigures) == 0 &&
         (size_bytes - sizeof(stats::SegmentHeader)) / sizeof(stats::ProcessFigures) <= stats::kProcessesMax;
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

// Whether `id` is the process of those figures, and no later one that has its number.
bool is_process_of(const stats::ProcessFigures& figures, pid_t id) {
  const auto start_ns = start_of(id);
  const std::uint64_t begin_ns = figures.begin_boot_ns;
  return start_ns && begin_ns <= stats::clock_ns(CLOCK_BOOTTIME) && *start_ns <= begin_ns + kClockSlackNs;
}

// Whether that user may speak for the process: root, or one that the process acts as or could act as.
bool may_speak_for(uid_t user, pid_t id) {
  if (user == 0) return true;
  std::ifstream in(fmt::format("/proc/{}/status", id));
  std::string word;
  while (in >> word && word != "Uid:") {
  }
  uid_t one = 0;
  for (int i = 0; i < 3 && in >> one; ++i) {  // real, effective, saved
    if (one == user) return true;
  }
  return false;
}

// The id that the process of those figures has here: its own, where it is the creator of the segment in another
// container.
std::optional<pid_t> id_here(const stats::ProcessFigures& figures, pid_t creator, bool is_only_one) {
  const pid_t id = is_only_one && creator > 0 ? creator : figures.process_id.load(std::memory_order_relaxed);
  if (is_process_of(figures, id)) return id;
  return {};
}

// If there is such a process, and the segment may speak for it.
void add_process(const std::shared_ptr<const Segment>& segment, const Listed& listed, std::uint32_t index,
                 std::map<pid_t, Process>* all) {
  const stats::ProcessFigures& figures = segment->figures(index);
  if (figures.is_live.load(std::memory_order_acquire) == 0) return;
  const auto id = id_here(figures, listed.creator, segment->places() == 1);
  if (!id || !may_speak_for(segment->maker(), *id)) return;
  const auto before = all->find(*id);
  if (before != all->end() && before->second.figures().begin_boot_ns >= figures.begin_boot_ns) return;
  struct stat status{};
  const std::string proc = fmt::format("/proc/{}", *id);
  if (::stat(proc.c_str(), &status) != 0) return;
  (*all)[*id] = {*id, status.st_uid, program_name(figures), listed.id, index, segment};
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
    const uid_t maker = status.shm_perm.cuid;
    return std::shared_ptr<const Segment>(new Segment(header, static_cast<std::uint32_t>(places), maker));
  }
  ::shmdt(address);
  errno = 0;
  return nullptr;
}

Segment::~Segment() { ::shmdt(header_); }

std::uint32_t Segment::process_count() const {
  return std::min(header_->taken.load(std::memory_order_acquire), places_);
}

std::string program_name(const stats::ProcessFigures& figures) {
  return {figures.name, ::strnlen(figures.name, sizeof figures.name)};
}

bool is_alive(const Process& process) { return is_process_of(process.figures(), process.id); }

Found find_processes(const std::vector<Process>& known) {
  Found found;
  // By process. One that has become another program (exec) has left figures behind in a segment of many: the last are
  // its own. So the list is as long as there are processes, whatever the segments say.
  std::map<pid_t, Process> all;
  for (const Listed& one : listed_segments()) {
    const auto same = [&one](const Process& process) { return process.segment_id == one.id; };
    const auto attached = std::find_if(known.begin(), known.end(), same);
    std::shared_ptr<const Segment> segment;
    if (attached != known.end()) {
      segment = attached->segment;
    } else if (has_our_size(one.size_bytes) && one.held_bytes > 0) {
      segment = Segment::attach(one.id);
      if (segment == nullptr && errno == EACCES) found.forbidden.push_back(one.creator);
    }
    if (segment == nullptr) continue;
    const std::size_t begun = one.held_bytes / kPageBytes;  // those that have figures have a page at least
    for (std::uint32_t i = 0; i < std::min<std::size_t>(segment->process_count(), begun); ++i) {
      add_process(segment, one, i, &all);
    }
  }
  for (auto& entry : all) found.processes.push_back(std::move(entry.second));
  return found;
}

}  // namespace aiox::cli
