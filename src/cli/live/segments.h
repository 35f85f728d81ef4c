// segments.h - finds the statistics of other processes: System V shared memory that the library has made
// (stats/segment.h), attached read-only for as long as it is looked at here. What is in them is another user's, where
// root looks: nothing that is read there decides how far is read, and they are believed only about processes of the
// user who made them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "stats/segment.h"

namespace aiox::cli {

// One attached segment. Detached when the last copy goes: until then it lives on, though its process may not.
class Segment {
 public:
  // nullptr: it has gone, or may not be read (errno), or is not one that this command can read (errno 0).
  static std::shared_ptr<const Segment> attach(int id);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  const stats::SegmentHeader& header() const { return *header_; }
  std::uint32_t places() const { return places_; }
  const stats::ProcessFigures& figures(std::uint32_t index) const { return *stats::figures_of(header_, index); }
  // Places in use: of processes, some of which may have ended.
  std::uint32_t process_count() const;
  // Who has made it: the kernel says so, not the segment.
  uid_t maker() const { return maker_; }

 private:
  Segment(stats::SegmentHeader* header, std::uint32_t places, uid_t maker)
      : header_(header), places_(places), maker_(maker) {}
  stats::SegmentHeader* header_;
  std::uint32_t places_;  // by its size
  uid_t maker_;
};

// What the program of those figures is called: it need not end in a zero byte.
std::string program_name(const stats::ProcessFigures& figures);

// A process that keeps statistics.
struct Process {
  pid_t id = 0;
  uid_t user = 0;
  std::string name;
  int segment_id = 0;
  std::uint32_t index = 0;  // in it
  std::shared_ptr<const Segment> segment;

  const stats::ProcessFigures& figures() const { return segment->figures(index); }
};

struct Found {
  std::vector<Process> processes;  // alive, by id
  std::vector<pid_t> forbidden;    // who has made a segment that may be one, and may not be read
};
// `known`: attached already.
Found find_processes(const std::vector<Process>& known = {});

// Whether it is still the process that it was.
bool is_alive(const Process& process);

}  // namespace aiox::cli
