// admitted_ranges.h - the ranges of a file's admitted reads and writes, and whether a request must wait for one of
// them.
//
// A request must wait for an earlier one when a plain sequence of calls would show which came first:
//   overlap    a read and a write, or two writes, of the same bytes
//   extension  a write that may make the file longer (an append; a write that ends behind the end of the file), and a
//              read that reaches beyond the end that the file had: it sees the new length, and zeros in a gap
//   append     where an append lands depends on every other write that may make the file longer, and a write behind the
//              end may lie where an append is to land. Those of one serial (SerialId::kWrites) keep their order there.
//
// Three trees (Boost.Intrusive), so that the look costs the logarithm of how many there are. Admitted writes overlap
// nothing that is admitted, so only a write's neighbours matter; reads may overlap one another, so there the longest of
// them says how far back to look.
// Thread: one at a time (FileQueue::mu_). Owns nothing: the requests are their pool's.
#pragma once

#include <boost/intrusive/set.hpp>

#include "core/request.h"

namespace aiox::engine {

class AdmittedRanges {
 public:
  uint32_t count() const { return count_; }

  // Whether the request takes part in these rules at all.
  static bool takes_part(const Request* request) { return request->range.is_tracked || is_extending(request); }

  // Whether `later` must wait for `earlier`, by a look at these two alone.
  static bool conflicts(const Request* earlier, const Request* later) {
    const bool is_read = is_read_of(later);
    if (is_read && is_read_of(earlier)) return false;
    if (earlier->range.is_tracked && later->range.is_tracked && overlap(*earlier, *later)) return true;
    if (is_read) return is_extending(earlier) && limit_of(*later) > earlier->range.extends_from;
    if (is_read_of(earlier)) return is_extending(later) && limit_of(*earlier) > later->range.extends_from;
    if (is_append(earlier)) return is_append(later) || limit_of(*later) > earlier->range.extends_from;
    return is_append(later) && limit_of(*earlier) > later->range.extends_from;
  }

  // Whether the request must wait for one that is admitted.
  bool conflicts(const Request* request) const {
    if (request->range.is_tracked && overlaps(request)) return true;
    const bool is_any_extending = !extending_.empty();
    if (is_read_of(request)) return is_any_extending && limit_of(*request) > extending_.begin()->range.extends_from;
    if (!is_extending(request)) return is_any_append() && limit_of(*request) > extending_.begin()->range.extends_from;
    if (reads_beyond(request->range.extends_from)) return true;
    if (is_append(request)) return unordered_extending_count_ > 0;
    return is_any_append() && request->queued.serial == SerialId::kNone;
  }

  // The request takes part.
  void add(Request* request) {
    if (request->range.is_tracked) add_range(request);
    if (is_extending(request)) {
      extending_.insert(*request);
      if (is_append(request)) append_count_++;
      if (request->queued.serial == SerialId::kNone) unordered_extending_count_++;
    }
    count_++;
  }

  // Nothing happens to one that was not added.
  void remove(Request* request) {
    if (!request->RangeHook::is_linked() && !request->ExtendHook::is_linked()) return;
    if (request->RangeHook::is_linked()) remove_range(request);
    if (request->ExtendHook::is_linked()) {
      extending_.erase(extending_.iterator_to(*request));
      if (is_append(request)) append_count_--;
      if (request->queued.serial == SerialId::kNone) unordered_extending_count_--;
    }
    count_--;
  }

 private:
  struct FirstByte {
    using type = uint64_t;
    const type& operator()(const Request& request) const { return request.range.begin; }
  };
  struct FileEnd {
    using type = uint64_t;
    const type& operator()(const Request& request) const { return request.range.extends_from; }
  };
  template <class Hook, class Key>
  using Tree =
      boost::intrusive::multiset<Request, boost::intrusive::base_hook<Hook>, boost::intrusive::key_of_value<Key>,
                                 boost::intrusive::constant_time_size<false>>;

  static uint64_t limit_of(const Request& request) { return request.range.begin + request.range.bytes; }
  static bool is_read_of(const Request* request) { return request->io.opcode == backend::Opcode::kRead; }
  static bool is_extending(const Request* request) { return request->range.extends_from != RequestRange::kNoExtension; }
  static bool is_append(const Request* request) { return is_extending(request) && !request->range.is_tracked; }
  bool is_any_append() const { return append_count_ > 0; }
  static bool overlap(const Request& one, const Request& other) {
    return one.range.begin < limit_of(other) && other.range.begin < limit_of(one);
  }

  // A read overlaps writes only; a write overlaps both.
  bool overlaps(const Request* request) const {
    if (overlaps_write(request)) return true;
    return !is_read_of(request) && overlaps_read(request);
  }

  bool overlaps_write(const Request* request) const {
    for (auto place = writes_.lower_bound(limit_of(*request)); place != writes_.begin();) {
      --place;
      if (limit_of(*place) > request->range.begin) return true;
      if (place->range.bytes > 0) break;  // whatever lies before it ends before it
    }
    return false;
  }

  bool overlaps_read(const Request* request) const {
    for (auto place = first_read_near(request->range.begin);
         place != reads_.end() && place->range.begin < limit_of(*request); ++place) {
      if (limit_of(*place) > request->range.begin) return true;
    }
    return false;
  }

  bool reads_beyond(uint64_t file_end) const {
    for (auto place = first_read_near(file_end); place != reads_.end(); ++place) {
      if (limit_of(*place) > file_end) return true;
    }
    return false;
  }

  using RangeTree = Tree<RangeHook, FirstByte>;

  // No read that begins before it reaches `offset`.
  RangeTree::const_iterator first_read_near(uint64_t offset) const {
    return reads_.lower_bound(offset > longest_read_bytes_ ? offset - longest_read_bytes_ : 0);
  }

  void add_range(Request* request) {
    if (!is_read_of(request)) {
      writes_.insert(*request);
      return;
    }
    reads_.insert(*request);
    if (request->range.bytes > longest_read_bytes_) longest_read_bytes_ = request->range.bytes;
  }

  void remove_range(Request* request) {
    if (!is_read_of(request)) {
      writes_.erase(writes_.iterator_to(*request));
      return;
    }
    reads_.erase(reads_.iterator_to(*request));
    if (reads_.empty()) longest_read_bytes_ = 0;
  }

  RangeTree reads_;
  RangeTree writes_;
  Tree<ExtendHook, FileEnd> extending_;
  uint64_t longest_read_bytes_ = 0;         // at least as long as any in reads_
  uint32_t append_count_ = 0;               // of extending_
  uint32_t unordered_extending_count_ = 0;  // of extending_: those outside the serial that orders the others
  uint32_t count_ = 0;
};

}  // namespace aiox::engine
