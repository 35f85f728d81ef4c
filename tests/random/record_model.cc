// record_model.cc - see record_model.h.
#include "record_model.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "options.h"
#include "rng.h"

namespace random_driver {

RecordModel::WriteId RecordModel::reserve_write() {
  writes_.push_back({});
  return WriteId(writes_.size() - 1);
}

RecordModel::Record RecordModel::make(WriteId id, uint32_t index, uint32_t count) const {
  return {uint32_t(mix64(content_key_ ^ (uint64_t(id) << 32 | index) * kGolden)), id, index, count};
}

void RecordModel::fill(WriteId id, void* data, size_t size_bytes) const {
  auto* out = static_cast<unsigned char*>(data);
  uint32_t count = uint32_t(size_bytes / kRecordBytes);
  for (uint32_t i = 0; i < count; ++i) {
    Record record = make(id, i, count);
    memcpy(out + size_t(i) * kRecordBytes, &record, kRecordBytes);
  }
}

bool RecordModel::is_unchanged(WriteId id, const void* data, size_t size_bytes) const {
  auto* in = static_cast<const unsigned char*>(data);
  uint32_t count = uint32_t(size_bytes / kRecordBytes);
  for (uint32_t i = 0; i < count; ++i) {
    Record record = make(id, i, count);
    if (memcmp(in + size_t(i) * kRecordBytes, &record, kRecordBytes) != 0) return false;
  }
  return true;
}

void RecordModel::submit_write(WriteId id, size_t size_bytes) {
  writes_[id].count = uint32_t(size_bytes / kRecordBytes);
  writes_[id].place = ++places_;
  ++writes_pending_;
  Canary mine = name_.rfind("append", 0) == 0 ? Canary::kAppend : Canary::kStream;
  if (g_options.canary == mine && id == 7) writes_[id].place += 2;
}

void RecordModel::end_write(WriteId id, size_t result) {
  writes_[id].result = result;
  writes_[id].has_ended = true;
  bytes_ended_ += result;
  --writes_pending_;
}

std::string RecordModel::take(const Record& record) {
  char text[256];
  auto wrong = [&](const char* what) {
    snprintf(text, sizeof text, "%s: record {write %u, index %u of %u} after {write %u, index %u of %u}: %s",
             name_.c_str(), record.write, record.index, record.count, last_,
             writes_[last_].received ? writes_[last_].received - 1 : 0, writes_[last_].count, what);
    return std::string(text);
  };
  Record right = make(record.write, record.index, record.count);
  if (record.check != right.check) return wrong("bytes that nobody wrote here");
  if (record.write == 0 || record.write >= writes_.size()) return wrong("no such write");
  Write& write = writes_[record.write];
  if (write.place == 0) return wrong("that write was not accepted");
  if (record.count != write.count) return wrong("not the count of that write");
  if (record.index != write.received) return wrong("records of a write out of order, lost or doubled");
  if (record.write != last_ && writes_[last_].place >= write.place) return wrong("writes not in call order");
  if (write.has_ended && size_t(record.index) * kRecordBytes >= write.result)
    return wrong("more of it than the write reported, or it was cancelled");
  ++write.received;
  last_ = record.write;
  return "";
}

std::string RecordModel::feed(const void* data, size_t size_bytes) {
  auto* in = static_cast<const unsigned char*>(data);
  while (size_bytes > 0) {
    size_t chunk = std::min(size_bytes, kRecordBytes - partial_.size());
    partial_.insert(partial_.end(), in, in + chunk);
    in += chunk;
    size_bytes -= chunk;
    if (partial_.size() < kRecordBytes) break;
    Record record;
    memcpy(&record, partial_.data(), kRecordBytes);
    partial_.clear();
    std::string wrong = take(record);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

std::string RecordModel::redeem(uint64_t ticket, const void* data, size_t size_bytes) {
  bytes_read_ += size_bytes;
  auto* in = static_cast<const unsigned char*>(data);
  if (ticket != next_redeemed_) {
    early_.emplace(ticket, std::vector<unsigned char>(in, in + size_bytes));
    return "";
  }
  std::string wrong = feed(in, size_bytes);
  ++next_redeemed_;
  while (wrong.empty() && !early_.empty() && early_.begin()->first == next_redeemed_) {
    wrong = feed(early_.begin()->second.data(), early_.begin()->second.size());
    early_.erase(early_.begin());
    ++next_redeemed_;
  }
  return wrong;
}

std::string RecordModel::check_end() const {
  if (!partial_.empty()) return name_ + ": ends inside a record";
  for (WriteId id = 1; id < writes_.size(); ++id) {
    const Write& write = writes_[id];
    if (write.place == 0) continue;
    if (size_t(write.received) * kRecordBytes == write.result) continue;
    char text[200];
    snprintf(text, sizeof text, "%s: write %u of %u records reported %zu bytes, but %u records came out", name_.c_str(),
             id, write.count, write.result, write.received);
    return text;
  }
  return "";
}

}  // namespace random_driver
