#include "cli/live/watch.h"

#include <pwd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stats/ticks.h"

namespace aiox::cli {

std::string user_name(uid_t user) {
  const passwd* entry = ::getpwuid(user);
  return entry != nullptr ? entry->pw_name : fmt::format("{}", user);
}

Observation observe(const Process& process, const Figures* before, std::uint64_t before_ns, Figures* now,
                    std::uint64_t* now_ns) {
  Observation seen;
  seen.process = process;
  seen.user = user_name(process.user);
  *now = read_figures(process.figures());
  *now_ns = stats::clock_ns(CLOCK_MONOTONIC);
  seen.is_first = before == nullptr;
  // What predecessors counted in the same place cannot be told from its own: then this look is where it begins.
  const bool has_predecessors = process.figures().predecessors.load(std::memory_order_relaxed) != 0;
  seen.change = before != nullptr ? now->since(*before) : has_predecessors ? now->since(*now) : *now;
  std::uint64_t from_ns = before != nullptr ? before_ns : process.figures().begin_ns;
  if (before == nullptr && has_predecessors) from_ns = *now_ns;
  seen.seconds = *now_ns > from_ns ? static_cast<double>(*now_ns - from_ns) / 1e9 : 0;
  return seen;
}

std::vector<Observation> Watch::look() {
  std::vector<Process> known;
  for (const Last& one : last_) known.push_back(one.process);
  const Found found = find_processes(known);
  forbidden_ = found.forbidden.size();
  std::vector<Observation> seen;
  std::vector<Last> next;
  for (const Process& process : found.processes) {
    const auto same = [&process](const Last& one) {
      return one.process.segment == process.segment && one.process.index == process.index;
    };
    const auto before = std::find_if(last_.begin(), last_.end(), same);
    const bool is_known = before != last_.end();
    Last now{process, {}, 0};
    seen.push_back(observe(process, is_known ? &before->figures : nullptr, is_known ? before->at_ns : 0, &now.figures,
                           &now.at_ns));
    next.push_back(std::move(now));
  }
  last_ = std::move(next);  // who has gone is let go of
  return seen;
}

}  // namespace aiox::cli
