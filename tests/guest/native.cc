// native.cc - see native.h.
#include "native.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace guest {

namespace {

struct Ring {
  uint32_t id, slot_count, head, tail, magic, compatible_features, incompatible_features, header_bytes;
  io_event events[];
};

template <class Function>
Function name_of_libaio(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

long by_number(long result) { return result < 0 ? -errno : result; }

constexpr unsigned kEventsAtOnce = 64;

}  // namespace

long native_setup(unsigned events, aio_context_t* context) {
  static const auto named = name_of_libaio<int (*)(int, aio_context_t*)>("io_setup");
  return named ? named(int(events), context) : by_number(syscall(SYS_io_setup, long(events), context));
}

long native_destroy(aio_context_t context) {
  static const auto named = name_of_libaio<int (*)(aio_context_t)>("io_destroy");
  return named ? named(context) : by_number(syscall(SYS_io_destroy, context));
}

long native_submit(aio_context_t context, long count, iocb** list) {
  static const auto named = name_of_libaio<int (*)(aio_context_t, long, iocb**)>("io_submit");
  return named ? named(context, count, list) : by_number(syscall(SYS_io_submit, context, count, list));
}

long native_cancel(aio_context_t context, iocb* block, io_event* event) {
  static const auto named = name_of_libaio<int (*)(aio_context_t, iocb*, io_event*)>("io_cancel");
  return named ? named(context, block, event) : by_number(syscall(SYS_io_cancel, context, block, event));
}

long native_events(aio_context_t context, long min_count, long count, io_event* events, timespec* timeout) {
  // By number: an unversioned look-up may find the io_getevents of LIBAIO_0.1, which has other arguments.
  return by_number(syscall(SYS_io_getevents, context, min_count, count, events, timeout));
}

NativeRequest::NativeRequest(size_t bytes)
    : buffer(static_cast<unsigned char*>(aligned_alloc(4096, (bytes + 4095) & ~4095ull))), size_bytes(bytes) {
  CHECK(buffer != nullptr);
  memset(buffer, 0, bytes);
}

NativeRequest::~NativeRequest() { free(buffer); }

NativeRequest& NativeRequest::read(int fd, uint64_t offset) {
  memset(buffer, 0, size_bytes);
  write(fd, offset);
  block.aio_lio_opcode = IOCB_CMD_PREAD;
  return *this;
}

NativeRequest& NativeRequest::write(int fd, uint64_t offset) {
  block = {};
  block.aio_lio_opcode = IOCB_CMD_PWRITE;
  block.aio_fildes = uint32_t(fd);
  block.aio_offset = int64_t(offset);
  block.aio_buf = reinterpret_cast<uintptr_t>(buffer);
  block.aio_nbytes = size_bytes;
  return *this;
}

void NativeRequest::expect_all() const {
  if (!is_over) FAIL("a request at %lld has not ended", static_cast<long long>(block.aio_offset));
  if (result != int64_t(size_bytes))
    FAIL("%s of %zu bytes at %lld ended with %lld", block.aio_lio_opcode == IOCB_CMD_PWRITE ? "write" : "read",
         size_bytes, static_cast<long long>(block.aio_offset), static_cast<long long>(result));
}

void NativeRequest::check_pattern(unsigned salt) const {
  for (size_t i = 0; i < size_bytes; ++i)
    if (buffer[i] != block_byte((uint64_t(block.aio_offset) + i) / kBlockBytes, salt))
      FAIL("byte %zu of the read at %lld is %d", i, static_cast<long long>(block.aio_offset), buffer[i]);
}

NativeRequests native_requests(unsigned count, size_t size_bytes) {
  NativeRequests requests;
  for (unsigned i = 0; i < count; ++i) requests.push_back(std::make_unique<NativeRequest>(size_bytes));
  return requests;
}

NativeContext::NativeContext(unsigned events, Reap way) : way_(way), process_(getpid()) {
  long error = native_setup(events, &id_);
  if (error != 0) FAIL("io_setup(%u): %s", events, strerror(int(-error)));
  if (way != Reap::kEventfd) return;
  eventfd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(eventfd_ >= 0);
}

NativeContext::~NativeContext() {
  if (eventfd_ >= 0) close(eventfd_);
  if (id_ != 0 && process_ == getpid()) CHECK(native_destroy(id_) == 0);
}

void NativeContext::submit(NativeRequest& request) {
  iocb* list[] = {&request.block};
  request.block.aio_data = reinterpret_cast<uintptr_t>(&request);
  if (eventfd_ >= 0) request.block.aio_flags |= IOCB_FLAG_RESFD, request.block.aio_resfd = uint32_t(eventfd_);
  request.is_over = false;
  long accepted = native_submit(id_, 1, list);
  if (accepted != 1) FAIL("io_submit answered %ld", accepted);
  ++in_flight_;
}

void NativeContext::submit(NativeRequests& requests) {
  std::vector<iocb*> list;
  for (auto& request : requests) {
    request->block.aio_data = reinterpret_cast<uintptr_t>(request.get());
    if (eventfd_ >= 0) request->block.aio_flags |= IOCB_FLAG_RESFD, request->block.aio_resfd = uint32_t(eventfd_);
    request->is_over = false;
    list.push_back(&request->block);
  }
  for (size_t done = 0; done < list.size();) {
    long accepted = native_submit(id_, long(list.size() - done), list.data() + done);
    if (accepted <= 0) FAIL("io_submit answered %ld after %zu of %zu", accepted, done, list.size());
    done += size_t(accepted);
    in_flight_ += unsigned(accepted);
  }
}

void NativeContext::note(const io_event& event) {
  auto* request = reinterpret_cast<NativeRequest*>(event.data);
  if (event.obj != reinterpret_cast<uintptr_t>(&request->block) || request->is_over) FAIL("an event of no request");
  request->is_over = true;
  request->result = event.res;
  CHECK(in_flight_ > 0);
  --in_flight_;
}

unsigned NativeContext::take(long min_count, timespec* timeout) {
  io_event events[kEventsAtOnce];
  long count;
  do count = native_events(id_, min_count, kEventsAtOnce, events, timeout);
  while (count == -EINTR);
  if (count < 0 || (count < min_count && timeout == nullptr)) FAIL("io_getevents answered %ld", count);
  for (long i = 0; i < count; ++i) note(events[i]);
  return unsigned(count);
}

unsigned NativeContext::read_ring() {
  auto* ring = reinterpret_cast<Ring*>(id_);
  CHECK(ring->magic == 0xa10a10a1 && ring->header_bytes == sizeof *ring);
  uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
  const uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
  unsigned count = 0;
  for (; head != tail; ++count) {
    note(ring->events[head]);
    head = head + 1 == ring->slot_count ? 0 : head + 1;
  }
  if (count > 0) __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
  return count;
}

unsigned NativeContext::reap_some() {
  if (way_ == Reap::kReadsRing) return read_ring();
  // One word of an eventfd may stand for more events than are taken at once.
  timespec none{0, 0};
  unsigned count = 0, part;
  do count += part = take(0, &none);
  while (part == kEventsAtOnce);
  return count;
}

unsigned NativeContext::reap() {
  if (way_ == Reap::kWaits) return take(1, nullptr);
  for (unsigned count = 0;;) {
    if (eventfd_ >= 0) {
      pollfd entry{eventfd_, POLLIN, 0};
      if (poll(&entry, 1, 20000) == 0) FAIL("no word by the eventfd; a look finds %u events", reap_some());
      uint64_t told = 0;
      if (::read(eventfd_, &told, sizeof told) < 0) CHECK(errno == EAGAIN || errno == EINTR);
    }
    count = reap_some();
    if (count > 0) return count;
    if (eventfd_ >= 0) continue;
    timespec nap{0, 20000};
    nanosleep(&nap, nullptr);
  }
}

void NativeContext::finish() {
  while (in_flight_ > 0) reap();
}

void NativeContext::wait_for(const NativeRequest& request) {
  while (!request.is_over) reap();
}

NativeLoad::NativeLoad(unsigned files, unsigned pipes, Reap way)
    : context(files + pipes + 8, way), file_requests_(native_requests(files)) {
  load_file(false);
  if (!is_answered_by_aiox()) return;
  pipe_requests_ = native_requests(pipes, 16);
  for (unsigned i = 0; i < pipes; ++i) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    read_ends_.push_back(ends[0]);
    write_ends_.push_back(ends[1]);
  }
}

NativeLoad::~NativeLoad() {
  for (int fd : read_ends_) close(fd);
  for (int fd : write_ends_) close(fd);
}

void NativeLoad::submit(bool is_cold) {
  if (is_cold) drop_cache(load_file(false));
  for (size_t i = 0; i < file_requests_.size(); ++i) {
    bool is_direct = i % 2 == 1 && load_file(true) >= 0;
    file_requests_[i]->read(load_file(is_direct), random_below(kLoadFileBytes / 4096) * 4096);
  }
  for (size_t i = 0; i < pipe_requests_.size(); ++i) pipe_requests_[i]->read(read_ends_[i], 0);
  context.submit(pipe_requests_);
  context.submit(file_requests_);
}

void NativeLoad::feed_pipes() {
  for (int fd : write_ends_) CHECK(::write(fd, "0123456789abcdef", 16) == 16);
}

void NativeLoad::finish() {
  feed_pipes();
  finish_fed();
}

void NativeLoad::finish_fed() {
  context.finish();
  for (auto& request : file_requests_) {
    request->expect_all();
    request->check_pattern();
  }
  for (auto& request : pipe_requests_) {
    request->expect_all();
    CHECK(memcmp(request->buffer, "0123456789abcdef", 16) == 0);
  }
}

void use_native_aio_a_little() {
  int fd = pattern_file(64 * 1024);
  NativeContext context(8);
  NativeRequest write, read;
  write.fill(7);
  context.submit(write.write(fd, 8192));
  context.submit(read.read(fd, 16384));
  context.finish();
  write.expect_all();
  read.expect_all();
  read.check_pattern();
  context.submit(read.read(fd, 8192));
  context.finish();
  read.expect_all();
  CHECK(read.buffer[0] == 7 && read.buffer[4095] == 7);
  close(fd);
}

NativeFiles::NativeFiles()
    : buffered(pattern_file(kBytes)), direct(pattern_file(kBytes, O_DIRECT)), written(pattern_file(kBytes)) {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  read_end = ends[0], write_end = ends[1];
}

void use_native_files(const NativeFiles& files, bool may_refuse_streams) {
  constexpr unsigned kEach = 32;
  NativeRequests requests = native_requests(2 * kEach);
  NativeRequest stream(8);
  for (Reap way : kEveryWay) {
    NativeContext context(2 * kEach + 1, way);
    drop_cache(files.buffered);
    if (is_answered_by_aiox()) context.submit(stream.read(files.read_end, 0));
    for (unsigned i = 0; i < kEach; ++i) {
      requests[i]->read(i % 2 && files.direct >= 0 ? files.direct : files.buffered, i * 4096);
      requests[kEach + i]->fill(static_cast<unsigned char>(i + 1));
      requests[kEach + i]->write(files.written, i * 4096);
    }
    context.submit(requests);
    while (context.in_flight() > unsigned(is_answered_by_aiox() && !stream.is_over)) context.reap();
    for (unsigned i = 0; i < kEach; ++i) {
      requests[i]->expect_all();
      requests[i]->check_pattern();
      requests[kEach + i]->expect_all();
    }
    if (!is_answered_by_aiox()) continue;
    if (may_refuse_streams && stream.is_over && stream.result == -EAGAIN) continue;
    CHECK(write(files.write_end, "0123456", 8) == 8);
    context.finish();
    stream.expect_all();
    CHECK(memcmp(stream.buffer, "0123456", 8) == 0);
  }
}

}  // namespace guest
