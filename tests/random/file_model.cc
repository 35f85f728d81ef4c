// file_model.cc - see file_model.h.
#include "file_model.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "options.h"
#include "rng.h"

namespace random_driver {

namespace {

uint64_t write_key(uint64_t content_key, FileModel::WriteId id) { return content_key + id * 0x2545f4914f6cdd1dull; }

}  // namespace

FileModel::WriteId FileModel::reserve_write() {
  writes_.push_back({});
  return WriteId(writes_.size() - 1);
}

void FileModel::fill(WriteId id, void* data, uint64_t offset, size_t size_bytes) const {
  Pattern(write_key(content_key_, id)).fill(data, offset, size_bytes);
}

void FileModel::split_at(uint64_t position) {
  auto next = stretches_.upper_bound(position);
  if (next == stretches_.begin()) return;
  auto it = std::prev(next);
  if (it->first == position || it->second.end <= position) return;
  stretches_.emplace(position, Cover{it->second.end, it->second.on_top});
  it->second.end = position;
}

// Cancelled writes never happened; what lies under one that has happened no longer matters.
void FileModel::drop_settled(std::vector<WriteId>* on_top) const {
  size_t kept = 0;
  for (WriteId id : *on_top) {
    if (writes_[id].outcome == Outcome::kNever) continue;
    (*on_top)[kept++] = id;
    if (writes_[id].outcome == Outcome::kHappened) break;
  }
  on_top->resize(kept);
}

void FileModel::submit_write(WriteId id, uint64_t offset, size_t size_bytes) {
  Write& write = writes_[id];
  write.offset = offset;
  write.size_bytes = size_bytes;
  write.outcome = Outcome::kPending;
  uint64_t begin = offset, end = offset + size_bytes;
  end_submitted_ = std::max(end_submitted_, end);
  if (end > end_certain_) reaching_.push_back(id);
  if (g_options.canary == Canary::kData && id == 5 && size_bytes > 1) begin += 1;

  split_at(begin);
  split_at(end);
  uint64_t position = begin;
  auto it = stretches_.lower_bound(begin);
  auto previous = stretches_.end();
  while (position < end) {
    if (it == stretches_.end() || it->first > position) {  // a hole
      uint64_t hole_end = it == stretches_.end() ? end : std::min(end, it->first);
      it = stretches_.emplace_hint(it, position, Cover{hole_end, {}});
    }
    Cover& cover = it->second;
    drop_settled(&cover.on_top);
    cover.on_top.insert(cover.on_top.begin(), id);
    position = cover.end;
    if (previous != stretches_.end() && previous->second.on_top == cover.on_top) {
      previous->second.end = cover.end;
      it = stretches_.erase(it);
    } else {
      previous = it++;
    }
  }
}

void FileModel::end_write(WriteId id, bool has_happened) {
  Write& write = writes_[id];
  write.outcome = has_happened ? Outcome::kHappened : Outcome::kNever;
  reaching_.erase(std::remove(reaching_.begin(), reaching_.end(), id), reaching_.end());
  if (has_happened) end_certain_ = std::max(end_certain_, write.offset + write.size_bytes);
}

FileModel::Expectation FileModel::expect_read(uint64_t offset, size_t size_bytes) const {
  Expectation result;
  result.offset = offset;
  result.size_bytes = size_bytes;
  result.end_low = end_certain_;
  result.end_high = end_submitted_;
  result.reaching = reaching_;
  auto it = stretches_.upper_bound(offset);
  if (it != stretches_.begin() && std::prev(it)->second.end > offset) --it;
  for (; it != stretches_.end() && it->first < offset + size_bytes; ++it)
    result.stretches.push_back({it->first, it->second.end, it->second.on_top});
  return result;
}

std::string FileModel::check_bytes(const Stretch& stretch, const unsigned char* data, uint64_t from,
                                   uint64_t to) const {
  char text[256];
  size_t bad = 0;
  WriteId blamed = 0;
  for (WriteId id : stretch.on_top) {
    const Write& write = writes_[id];
    if (write.outcome == Outcome::kNever) continue;
    bad = Pattern(write_key(content_key_, id)).first_difference(data, from, to - from);
    if (bad == Pattern::kEqual) return "";
    blamed = id;
    if (write.outcome != Outcome::kPending || !write.may_be_cancelled) {
      snprintf(text, sizeof text, "byte at %llu (index %zu of stretch [%llu,%llu)) is not that of write %u",
               static_cast<unsigned long long>(from + bad), bad, static_cast<unsigned long long>(from),
               static_cast<unsigned long long>(to), blamed);
      std::string result = text;
      size_t nonzero = first_nonzero(data, to - from);
      result += nonzero == Pattern::kEqual ? "; all zero" : "; not all zero";
      for (WriteId other = WriteId(writes_.size() - 1); other > 0; --other)
        if (Pattern(write_key(content_key_, other)).first_difference(data + bad, from + bad,
                                                                    std::min<uint64_t>(to - from - bad, 8)) ==
                Pattern::kEqual && to - from - bad >= 8) {
          snprintf(text, sizeof text, "; it is that of write %u [%llu,+%zu), outcome %d", other,
                   static_cast<unsigned long long>(writes_[other].offset), writes_[other].size_bytes,
                   int(writes_[other].outcome));
          result += text;
          break;
        }
      return result;
    }
  }
  bad = first_nonzero(data, to - from);
  if (bad == Pattern::kEqual) return "";
  snprintf(text, sizeof text, "byte at %llu is not the zero of a hole (nor of write %u, if that is not cancelled)",
           static_cast<unsigned long long>(from + bad), blamed);
  return text;
}

std::string FileModel::check_read(const Expectation& expectation, const void* data, size_t result) const {
  char text[256];
  uint64_t offset = expectation.offset;
  uint64_t low = expectation.end_low, high = expectation.end_high;
  const auto reach = [&](WriteId id) {
    const Write& write = writes_[id];
    if (write.outcome == Outcome::kHappened || (write.outcome == Outcome::kPending && !write.may_be_cancelled))
      low = std::max(low, write.offset + write.size_bytes);
  };
  for (WriteId id : expectation.reaching) reach(id);
  for (const Stretch& stretch : expectation.stretches)
    for (WriteId id : stretch.on_top) reach(id);
  auto count_for = [&](uint64_t end) {
    return end <= offset ? 0 : std::min<uint64_t>(expectation.size_bytes, end - offset);
  };
  if (g_options.canary == Canary::kEnd) low = high = offset + expectation.size_bytes;
  if (result < count_for(low) || result > count_for(high)) {
    snprintf(text, sizeof text, "returned %zu bytes; the end of the file allows %llu to %llu", result,
             static_cast<unsigned long long>(count_for(low)), static_cast<unsigned long long>(count_for(high)));
    return text;
  }

  auto* bytes = static_cast<const unsigned char*>(data);
  uint64_t position = offset, read_end = offset + result;
  const Stretch hole{};
  for (const Stretch& stretch : expectation.stretches) {
    uint64_t from = std::max(position, stretch.begin), to = std::min(read_end, stretch.end);
    if (from >= read_end) break;
    if (from > position) {
      std::string wrong = check_bytes(hole, bytes + (position - offset), position, from);
      if (!wrong.empty()) return wrong;
    }
    std::string wrong = check_bytes(stretch, bytes + (from - offset), from, to);
    if (!wrong.empty()) return wrong;
    position = to;
  }
  return position < read_end ? check_bytes(hole, bytes + (position - offset), position, read_end) : "";
}

std::string FileModel::check_file(int fd, uint64_t from, uint64_t to) const {
  constexpr size_t kStep = 256 * 1024;
  std::vector<unsigned char> buffer(kStep + 4096);
  // O_DIRECT descriptors want alignment; the models they serve are aligned too.
  auto* data = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(buffer.data()) + 4095) & ~4095ull);
  for (uint64_t position = from; position < to; position += kStep) {
    size_t wanted = size_t(std::min<uint64_t>(kStep, to - position));
    ssize_t got = pread(fd, data, kStep, off_t(position));
    if (got < ssize_t(wanted)) return "plain pread came short at " + std::to_string(position);
    Expectation expectation = expect_read(position, wanted);
    expectation.end_low = expectation.end_high = end_submitted_;
    std::string wrong = check_read(expectation, data, wanted);
    if (!wrong.empty()) return "end state: " + wrong;
  }
  return "";
}

uint64_t FileModel::end() const { return end_certain_; }

}  // namespace random_driver
