// record_model.h - what must come out of a place where writes follow each other in call order: an O_APPEND file, or
// the reading end of a pipe or socket.
//
// Every write is a whole number of 16-byte records {check, write id, index in the write, count of the write}, so the
// bytes say where they belong. The model keeps the ids in the order of the submitting calls and the outcome of each
// write; fed with the bytes in the order in which they stand (file) or were asked for (stream), it checks that the
// writes follow each other in that order, each complete once, none of a cancelled one.
//
// Locking: none here; the owner (Lane) holds its mutex around every call.
#ifndef AIOX_TESTS_RANDOM_RECORD_MODEL_H
#define AIOX_TESTS_RANDOM_RECORD_MODEL_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace random_driver {

class RecordModel {
 public:
  using WriteId = uint32_t;
  static constexpr size_t kRecordBytes = 16;

  RecordModel(uint64_t content_key, const char* name) : content_key_(content_key), name_(name) {
    writes_.push_back({});
  }

  WriteId reserve_write();
  void fill(WriteId id, void* data, size_t size_bytes) const;
  bool is_unchanged(WriteId id, const void* data, size_t size_bytes) const;

  // The write has been accepted; it is the latest in call order.
  void submit_write(WriteId id, size_t size_bytes);
  void end_write(WriteId id, size_t result);  // bytes that went out: 0 if cancelled
  uint64_t bytes_ended() const { return bytes_ended_; }
  size_t writes_pending() const { return writes_pending_; }

  // Reads of a stream take tickets in call order and come back in any order. "" or what is wrong.
  uint64_t take_ticket() { return next_ticket_++; }
  std::string redeem(uint64_t ticket, const void* data, size_t size_bytes);
  uint64_t bytes_read() const { return bytes_read_; }

  // The whole of an append-only file, from its beginning, piece after piece. "" or what is wrong.
  std::string feed(const void* data, size_t size_bytes);

  // With nothing in flight: every write came out with exactly the bytes it reported. "" or what is wrong.
  std::string check_end() const;

 private:
  struct Record {
    uint32_t check, write, index, count;
  };
  struct Write {
    uint32_t count = 0;     // records
    uint32_t received = 0;  // records that came out
    uint32_t place = 0;     // in call order, from 1
    size_t result = 0;
    bool has_ended = false;
  };

  Record make(WriteId id, uint32_t index, uint32_t count) const;
  std::string take(const Record& record);

  uint64_t content_key_;
  std::string name_;
  std::vector<Write> writes_;
  uint32_t places_ = 0;
  WriteId last_ = 0;  // the write whose record came out last
  uint64_t bytes_ended_ = 0, bytes_read_ = 0;
  size_t writes_pending_ = 0;
  uint64_t next_ticket_ = 0, next_redeemed_ = 0;
  std::map<uint64_t, std::vector<unsigned char>> early_;  // came back before a read with an earlier ticket
  std::vector<unsigned char> partial_;                    // the beginning of a record
};

}  // namespace random_driver
#endif
