// admitted_ranges.h - the bytes that the admitted reads and writes of one file touch, and whether a request overlaps them.
//
// Two trees (Boost.Intrusive) ordered by the first byte, so that the look costs the logarithm of how many there are. Admitted
// writes overlap nothing that is admitted, so only a write's neighbours matter; reads may overlap one another, so there the
// longest of them says how far back to look.
// Thread: one at a time (FileQueue::mu_). Owns nothing: the requests are their pool's.
#pragma once

#include <boost/intrusive/set.hpp>

#include "engine/request.h"

namespace aiox::engine {

class AdmittedRanges {
 public:
  uint32_t count() const { return count_; }

  // A read overlaps writes only; a write overlaps both. request->has_range.
  bool overlaps(const Request* request) const {
    if (overlaps_write(request)) return true;
    return request->io.opcode != backend::Opcode::kRead && overlaps_read(request);
  }

  void add(Request* request) {
    if (request->io.opcode != backend::Opcode::kRead) {
      writes_.insert(*request);
    } else {
      reads_.insert(*request);
      if (request->range_bytes > longest_read_bytes_) longest_read_bytes_ = request->range_bytes;
    }
    count_++;
  }

  // Nothing happens to one that was not added.
  void remove(Request* request) {
    if (!request->range_hook.is_linked()) return;
    if (request->io.opcode != backend::Opcode::kRead) {
      writes_.erase(writes_.iterator_to(*request));
    } else {
      reads_.erase(reads_.iterator_to(*request));
      if (reads_.empty()) longest_read_bytes_ = 0;
    }
    count_--;
  }

 private:
  struct FirstByte {
    using type = uint64_t;
    const type& operator()(const Request& request) const { return request.range_begin; }
  };
  using Hook = boost::intrusive::member_hook<Request, boost::intrusive::set_member_hook<>, &Request::range_hook>;
  using Tree = boost::intrusive::multiset<Request, Hook, boost::intrusive::key_of_value<FirstByte>,
                                          boost::intrusive::constant_time_size<false>>;

  static uint64_t end_of(const Request& request) { return request.range_begin + request.range_bytes; }

  bool overlaps_write(const Request* request) const {
    for (auto place = writes_.lower_bound(end_of(*request)); place != writes_.begin();) {
      --place;
      if (end_of(*place) > request->range_begin) return true;
      if (place->range_bytes > 0) break;  // whatever lies before it ends before it
    }
    return false;
  }

  bool overlaps_read(const Request* request) const {
    uint64_t first = request->range_begin > longest_read_bytes_ ? request->range_begin - longest_read_bytes_ : 0;
    for (auto place = reads_.lower_bound(first); place != reads_.end() && place->range_begin < end_of(*request); ++place) {
      if (end_of(*place) > request->range_begin) return true;
    }
    return false;
  }

  Tree reads_;
  Tree writes_;
  uint64_t longest_read_bytes_ = 0;  // at least as long as any in reads_
  uint32_t count_ = 0;
};

}  // namespace aiox::engine
