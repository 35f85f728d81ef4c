// watch.h - looks at processes again and again: what each has done since the last look.
#pragma once

#include <string>
#include <vector>

#include "cli/live/figures.h"
#include "cli/live/segments.h"

namespace aiox::cli {

struct Observation {
  Process process;
  std::string user;  // its name, or number
  Figures change;    // since the last look; at the first, since its beginning
  double seconds = 0;
  bool is_first = false;

  double per_second(std::uint64_t count) const { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }
};

class Watch {
 public:
  // Of all processes that may be looked at. forbidden: how many there are besides.
  std::vector<Observation> look();
  std::size_t forbidden() const { return forbidden_; }

 private:
  struct Last {
    Process process;
    Figures figures;
    std::uint64_t at_ns;
  };
  std::vector<Last> last_;
  std::size_t forbidden_ = 0;
};

// What `process` has done since `before`, read at before_ns; with *now and *now_ns for the next time.
// before: nullptr: since its beginning.
Observation observe(const Process& process, const Figures* before, std::uint64_t before_ns, Figures* now,
                    std::uint64_t* now_ns);

std::string user_name(uid_t user);

}  // namespace aiox::cli
