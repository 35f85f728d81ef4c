// load.cc - guest.h's Load: requests that are in flight for a while, and what they must have brought in the end.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

namespace guest {

int load_file(bool is_direct) {
  static int buffered = -1, direct = -2;
  if (buffered < 0) {
    std::string path = scratch_path("load");
    buffered = pattern_file_at(path, kLoadFileBytes, 0);
    direct = open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    unlink(path.c_str());
  }
  return is_direct ? direct : buffered;
}

Load::Load(unsigned files, unsigned pipes) : file_(load_file(false)), direct_(load_file(true)) {
  for (unsigned i = 0; i < files; ++i) file_requests_.push_back(std::make_unique<Request>());
  for (unsigned i = 0; i < pipes; ++i) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    read_ends_.push_back(ends[0]);
    write_ends_.push_back(ends[1]);
    pipe_requests_.push_back(std::make_unique<Request>(16));
  }
}

Load::~Load() {
  for (int fd : read_ends_) close(fd);
  for (int fd : write_ends_) close(fd);
}

void Load::submit() {
  drop_cache(file_);
  for (size_t i = 0; i < file_requests_.size(); ++i) {
    bool is_direct = i % 2 == 1 && direct_ >= 0;
    file_requests_[i]->read(is_direct ? direct_ : file_, random_below(kLoadFileBytes / 4096) * 4096);
  }
  for (size_t i = 0; i < pipe_requests_.size(); ++i) pipe_requests_[i]->read(read_ends_[i], 0);
}

void Load::feed_pipes() {
  for (int fd : write_ends_) CHECK(::write(fd, "0123456789abcdef", 16) == 16);
}

void Load::finish() {
  feed_pipes();
  finish_fed();
}

void Load::finish_fed() {
  for (auto& request : file_requests_) {
    request->wait_for_all();
    request->check_pattern();
  }
  for (auto& request : pipe_requests_) {
    request->wait_for_all();
    CHECK(memcmp(request->buffer, "0123456789abcdef", 16) == 0);
  }
}

bool Load::is_anything_in_flight() const {
  for (auto& request : file_requests_)
    if (!request->is_done()) return true;
  for (auto& request : pipe_requests_)
    if (!request->is_done()) return true;
  return false;
}

void Load::forget() {
  for (auto& request : file_requests_) request.release();
  for (auto& request : pipe_requests_) request.release();
  file_requests_.clear();
  pipe_requests_.clear();
}

}  // namespace guest
