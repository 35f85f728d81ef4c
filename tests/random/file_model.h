// file_model.h - what a file accessed by position must hold.
//
// The order that counts is the order of the submitting calls: on one descriptor, requests whose ranges overlap take
// effect in call order, so the expected bytes of a read are known when it is submitted - except for writes that may
// still turn out to be cancelled. The model therefore keeps, for each stretch of the file, the writes that may be on
// top, newest first; an expectation is a copy of that, resolved when the read has completed (by then every write
// before it has ended, and what is known of its outcome narrows the choice).
// So is the end of the file: the length of a read is bounded from below by what the writes before it have certainly
// written, from above by all that had been submitted before it.
//
// Locking: none here; the owner (Lane) holds its mutex around every call.
#ifndef AIOX_TESTS_RANDOM_FILE_MODEL_H
#define AIOX_TESTS_RANDOM_FILE_MODEL_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace random_driver {

class FileModel {
 public:
  using WriteId = uint32_t;

  struct Stretch {
    uint64_t begin, end;
    std::vector<WriteId> on_top;  // newest first; below the last is a hole
  };

  struct Expectation {
    uint64_t offset = 0;
    size_t size_bytes = 0;
    uint64_t end_low = 0;   // the file reached at least so far when the read was submitted
    uint64_t end_high = 0;  // and at most so far
    std::vector<WriteId> reaching;  // those before it that were to make the file longer, and had not ended
    std::vector<Stretch> stretches;
  };

  // `content_key` makes the bytes of this model differ from those of any other.
  FileModel(uint64_t content_key, uint64_t initial_end) : content_key_(content_key), initial_end_(initial_end) {
    end_certain_ = end_submitted_ = initial_end;
    writes_.push_back({});  // id 0 is nobody
  }

  // A name for a write that is about to be submitted; its bytes follow from it.
  WriteId reserve_write();
  void fill(WriteId id, void* data, uint64_t offset, size_t size_bytes) const;

  // The write has been accepted: from here on it is on top.
  void submit_write(WriteId id, uint64_t offset, size_t size_bytes);
  void may_be_cancelled(WriteId id) { writes_[id].may_be_cancelled = true; }
  void end_write(WriteId id, bool has_happened);

  Expectation expect_read(uint64_t offset, size_t size_bytes) const;
  // "" or what is wrong. `result` is the byte count that the read returned.
  std::string check_read(const Expectation& expectation, const void* data, size_t result) const;

  // With nothing in flight: compares [from, to) of the file with the model. "" or what is wrong.
  std::string check_file(int fd, uint64_t from, uint64_t to) const;
  uint64_t end() const;  // with nothing in flight: the file's size
  size_t stretch_count() const { return stretches_.size(); }

 private:
  enum class Outcome : uint8_t { kReserved, kPending, kHappened, kNever };
  struct Write {
    uint64_t offset = 0;
    size_t size_bytes = 0;
    Outcome outcome = Outcome::kReserved;
    bool may_be_cancelled = false;
  };
  struct Cover {
    uint64_t end;
    std::vector<WriteId> on_top;
  };

  void split_at(uint64_t position);
  std::vector<WriteId> reaching_;  // pending, and may make the file longer
  void drop_settled(std::vector<WriteId>* on_top) const;
  std::string check_bytes(const Stretch& stretch, const unsigned char* data, uint64_t from, uint64_t to) const;

  uint64_t content_key_;
  uint64_t initial_end_;
  uint64_t end_certain_;    // end of every write known to have happened
  uint64_t end_submitted_;  // end of every write ever accepted
  std::vector<Write> writes_;
  std::map<uint64_t, Cover> stretches_;  // by beginning; what is in none is a hole
};

}  // namespace random_driver
#endif
