#include "scenario.h"

#include <aio.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

#include "aiox/aiox.h"
#include "model.h"
#include "shim/libaio.h"

namespace faults {

namespace {

constexpr int kOperationsMax = 512;
constexpr size_t kStreamBytes = 64;
constexpr unsigned char kStreamByte = 0x5a;
constexpr int kToldMs = 5000;
constexpr int kRescueMs = 300;
constexpr timespec kEventLimit = {10, 0};

std::atomic<uint32_t> g_told[kOperationsMax];
std::atomic<uint32_t> g_list_told;
Fault g_fault;
uint64_t g_seed;
Report* g_report;

[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char* format, ...) {
  char text[300];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  dprintf(2, "stage %d: %s\n", g_report->stage.load(), text);
  _exit(1);
}

#ifdef __SANITIZE_THREAD__
// ThreadSanitizer loses a signal that strikes between two of the calls that it intercepts, one in some thousand (g++
// 12; a program without aiox shows it). So the kernel is given this handler itself, of which ThreadSanitizer may know
// nothing.
__attribute__((no_sanitize("thread"))) void on_signal(int, siginfo_t* info, void*) {
  __atomic_fetch_add(reinterpret_cast<uint32_t*>(&g_told[info->si_value.sival_int]), 1, __ATOMIC_RELAXED);
}

// What sigaction has told the kernel, with the handler replaced.
void install_past_sanitizer(int signo) {
  struct {
    void (*handler)(int, siginfo_t*, void*);
    unsigned long flags;
    void* restorer;
    uint64_t mask;
  } action;
  if (syscall(SYS_rt_sigaction, signo, nullptr, &action, sizeof action.mask) != 0) fail("rt_sigaction");
  action.handler = on_signal;
  if (syscall(SYS_rt_sigaction, signo, &action, nullptr, sizeof action.mask) != 0) fail("rt_sigaction");
}
#else
void on_signal(int, siginfo_t* info, void*) { g_told[info->si_value.sival_int].fetch_add(1); }
void install_past_sanitizer(int) {}
#endif

void on_thread(sigval value) { g_told[value.sival_int].fetch_add(1); }
void on_list(sigval) { g_list_told.fetch_add(1); }

// What io_destroy cannot cancel ends this way.
int g_rescue_fd = -1;
void on_alarm(int) {
  char data[kStreamBytes];
  memset(data, kStreamByte, sizeof data);
  if (write(g_rescue_fd, data, sizeof data) < 0) _exit(3);
}

void sleep_us(long microseconds) {
  timespec rest = {microseconds / 1'000'000, microseconds % 1'000'000 * 1000};
  while (nanosleep(&rest, &rest) != 0) {
  }
}

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// ---- What the fault allows ----

const Kind* kind() { return g_fault.kind >= 0 ? &kKinds[g_fault.kind] : nullptr; }
bool is_harm(Harm harm) { return kind() != nullptr && kind()->harm == harm; }

bool may_submit_fail() { return is_harm(Harm::kSubmit); }

// Answers that mean "try again" or "not this way": those are the engine's to deal with.
bool is_about_the_way(int error) { return error == EINTR || error == EAGAIN || error == EOPNOTSUPP; }

bool may_end_with(int error, bool is_stream) {
  if (is_harm(Harm::kResult)) return error == g_fault.answer && !is_about_the_way(error);
  return is_harm(Harm::kStream) && is_stream && error == EAGAIN;
}

bool is_without_threads() { return kind() != nullptr && kind()->number == kPthreadCreate && g_fault.is_lasting; }

// ---- Requests ----

enum class Told { kNot, kSignal, kThread, kOwnThread };

struct File {
  int fd = -1;
  FileModel model{0};
  uint64_t device_offset = 0;
  bool is_stream = false;
};

struct Operation {
  aiocb block{};
  File* file = nullptr;
  Told told = Told::kNot;
  int number = 0;
  bool is_write = false, is_sync = false, is_accepted = false, is_cancelled = false, is_reaped = false;
  int expected_error = 0;
  FileModel::Past past;
  int error = EINPROGRESS;
  ssize_t result = -1;
  std::unique_ptr<char, void (*)(void*)> buffer{nullptr, free};
  // Of a context's: `block` is only for the books.
  std::unique_ptr<iocb> native;
  std::vector<iovec> vectors;
  bool is_poll = false, is_counted = false;
};

using Operations = std::vector<Operation*>;

class Scenario {
 public:
  explicit Scenario(const Place& place) : place_(place), random_(g_seed) {}
  void run();

 private:
  // Before anything is armed.
  void open_all();
  File make_file(const char* name, size_t blocks, int flags);
  // Stages.
  void cached_and_cold_reads();
  void buffered_writes();
  void direct();
  void lists();
  void appends();
  void streams();
  void cancelling();
  void block_device();
  void contexts();
  void closing();
  void after_the_fault();
  void look_at_the_disk();

  Operation* prepare(File* file, uint64_t first_block, size_t count, bool is_write, Told told = Told::kNot);
  Operation* prepare_stream(File* file, bool is_write, size_t bytes = kStreamBytes);
  void set_told(Operation* operation, Told told);
  bool submit(Operation* operation);
  Operation* read(File* file, uint64_t first, size_t count, Told told = Told::kNot) {
    Operation* operation = prepare(file, first, count, false, told);
    submit(operation);
    return operation;
  }
  Operation* write(File* file, uint64_t first, size_t count, Told told = Told::kNot) {
    Operation* operation = prepare(file, first, count, true, told);
    submit(operation);
    return operation;
  }
  Operation* sync(File* file, Told told = Told::kNot);
  void note_write(Operation* operation);
  // Each ends the requests: waits, takes the result, judges it.
  void suspend(const Operations& operations);
  void poll(const Operations& operations);
  void await_told(Operation* operation);
  void finish(Operation* operation);
  void feed(File* file, size_t bytes);
  void cancel(Operation* operation, File* feeder);
  // The same for contexts.
  Operation* prepare_native(Operation* operation, unsigned opcode, unsigned parts = 0);
  Operation* prepare_poll(File* file);
  void submit_native(const Operations& operations);
  void take_events(const Operations& operations);
  void cancel_native(Operation* operation, File* feeder);
  void destroy_native(const Operations& operations, File* feeder);
  void drain(File* file);
  void judge(Operation* operation, int error, ssize_t result);
  bool has_written(WriteId id, uint64_t block) const;

  const Place& place_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Operation>> operations_;
  bool is_armed_ = false;
  int failed_count_ = 0;
  int lists_with_a_call_ = 0;
  File buffered_, direct_, append_, closed_, device_;
  File pipe_out_, pipe_in_, socket_[2], event_, nonblock_;
  File native_out_, native_in_, polled_out_, polled_in_;
  aio_context_t context_ = 0;
  int counting_fd_ = -1;
  uint64_t counted_ = 0;
  std::vector<Operation*> appended_;
};

File Scenario::make_file(const char* name, size_t blocks, int flags) {
  std::string path = place_.directory + "/" + name + "." + std::to_string(getpid());
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) fail("%s: %s", path.c_str(), strerror(errno));
  std::vector<char> content(blocks * kBlockBytes);
  fill_blocks(content.data(), 0, 0, blocks);
  if (::write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) fail("no room on the disk");
  if ((flags & O_DIRECT) != 0 && fdatasync(fd) != 0) fail("fdatasync");
  close(fd);
  File file;
  file.fd = open(path.c_str(), O_RDWR | O_CLOEXEC | flags);
  file.model = FileModel(blocks);
  unlink(path.c_str());
  if (file.fd < 0) fail("%s: %s", path.c_str(), strerror(errno));
  return file;
}

void Scenario::open_all() {
  buffered_ = make_file("buffered", 1024, 0);
  direct_ = make_file("direct", 4096, O_DIRECT);
  append_ = make_file("append", 0, O_APPEND);
  closed_ = make_file("closed", 512, 0);
  int ends[2];
  auto stream = [](int fd) {
    File file;
    file.fd = fd;
    file.is_stream = true;
    return file;
  };
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
  pipe_out_ = stream(ends[0]);
  pipe_in_ = stream(ends[1]);
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) fail("pipe2");
  nonblock_ = stream(ends[0]);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  socket_[0] = stream(ends[0]);
  socket_[1] = stream(ends[1]);
  event_ = stream(eventfd(0, EFD_CLOEXEC));
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
  native_out_ = stream(ends[0]);
  native_in_ = stream(ends[1]);
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
  polled_out_ = stream(ends[0]);
  polled_in_ = stream(ends[1]);
  counting_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!place_.block_device.empty()) {
    int fd = open(place_.block_device.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) fail("%s: %s", place_.block_device.c_str(), strerror(errno));
    std::vector<char> content(kDeviceBytes);
    fill_blocks(content.data(), 0, 0, kDeviceBytes / kBlockBytes);
    if (pwrite(fd, content.data(), kDeviceBytes, static_cast<off_t>(place_.device_offset)) !=
        static_cast<ssize_t>(kDeviceBytes)) {
      fail("the block device cannot be written");
    }
    device_.fd = fd;
    device_.model = FileModel(kDeviceBytes / kBlockBytes);
    device_.device_offset = place_.device_offset;
  }
}

// ---- Requests ----

void Scenario::set_told(Operation* operation, Told told) {
  operation->told = told;
  sigevent& event = operation->block.aio_sigevent;
  event.sigev_notify = SIGEV_NONE;
  event.sigev_value.sival_int = operation->number;
  if (told == Told::kSignal) {
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN + 1;
  } else if (told == Told::kThread || told == Told::kOwnThread) {
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = on_thread;
    if (told == Told::kOwnThread) {
      static pthread_attr_t attributes;
      pthread_attr_init(&attributes);
      pthread_attr_setstacksize(&attributes, 256 * 1024);
      event.sigev_notify_attributes = &attributes;
    }
  }
}

Operation* Scenario::prepare(File* file, uint64_t first, size_t count, bool is_write, Told told) {
  auto operation = std::make_unique<Operation>();
  operation->number = static_cast<int>(operations_.size()) + 1;
  if (operation->number >= kOperationsMax) fail("too many operations");
  operation->file = file;
  operation->is_write = is_write;
  operation->buffer.reset(static_cast<char*>(aligned_alloc(4096, (count * kBlockBytes + 4095) / 4096 * 4096)));
  aiocb& block = operation->block;
  block.aio_fildes = file->fd;
  block.aio_buf = operation->buffer.get();
  block.aio_nbytes = count * kBlockBytes;
  block.aio_offset = static_cast<off_t>(first * kBlockBytes + file->device_offset);
  block.aio_lio_opcode = is_write ? LIO_WRITE : LIO_READ;
  set_told(operation.get(), told);
  if (is_write) {
    fill_blocks(operation->buffer.get(), static_cast<WriteId>(operation->number), first, count);
  } else {
    memset(operation->buffer.get(), 0xee, count * kBlockBytes);
    operation->past = file->model.past(first, count);
  }
  operations_.push_back(std::move(operation));
  return operations_.back().get();
}

Operation* Scenario::prepare_stream(File* file, bool is_write, size_t bytes) {
  auto operation = std::make_unique<Operation>();
  operation->number = static_cast<int>(operations_.size()) + 1;
  operation->file = file;
  operation->is_write = is_write;
  operation->buffer.reset(static_cast<char*>(aligned_alloc(4096, 4096)));
  memset(operation->buffer.get(), is_write ? kStreamByte : 0, bytes);
  operation->block.aio_fildes = file->fd;
  operation->block.aio_buf = operation->buffer.get();
  operation->block.aio_nbytes = bytes;
  set_told(operation.get(), Told::kNot);
  operations_.push_back(std::move(operation));
  return operations_.back().get();
}

void Scenario::note_write(Operation* operation) {
  if (!operation->is_write || operation->file->is_stream) return;
  if (operation->file == &append_) {
    appended_.push_back(operation);
    return;
  }
  uint64_t offset = static_cast<uint64_t>(operation->block.aio_offset) - operation->file->device_offset;
  operation->file->model.note_write(static_cast<WriteId>(operation->number), offset / kBlockBytes,
                                    operation->block.aio_nbytes / kBlockBytes);
}

bool Scenario::submit(Operation* operation) {
  int answer = operation->is_sync    ? aio_fsync(O_SYNC, &operation->block)
               : operation->is_write ? aio_write(&operation->block)
                                     : aio_read(&operation->block);
  if (answer == 0) {
    operation->is_accepted = true;
    note_write(operation);
    return true;
  }
  if (errno != EAGAIN || !may_submit_fail() || !is_armed_) {
    fail("request %d was not accepted: %s", operation->number, strerror(errno));
  }
  return false;
}

Operation* Scenario::sync(File* file, Told told) {
  Operation* operation = prepare(file, 0, 0, false, told);
  operation->is_sync = true;
  submit(operation);
  return operation;
}

void Scenario::suspend(const Operations& operations) {
  for (;;) {
    std::vector<const aiocb*> list;
    for (Operation* operation : operations) {
      if (operation->is_accepted && aio_error(&operation->block) == EINPROGRESS) list.push_back(&operation->block);
    }
    if (list.empty()) break;
    if (aio_suspend(list.data(), static_cast<int>(list.size()), nullptr) != 0 && errno != EINTR) {
      fail("aio_suspend: %s", strerror(errno));
    }
  }
  for (Operation* operation : operations) finish(operation);
}

void Scenario::poll(const Operations& operations) {
  for (Operation* operation : operations) {
    while (operation->is_accepted && aio_error(&operation->block) == EINPROGRESS) sleep_us(100);
    finish(operation);
  }
}

// By the notification alone: nobody may have to call for it to come.
void Scenario::await_told(Operation* operation) {
  if (operation->is_accepted && !(is_armed_ && is_without_threads())) {
    const int64_t since = now_ms();
    while (g_told[operation->number].load() == 0) {
      if (now_ms() - since > kToldMs) {
        fail("request %d: no notification (%d) came; aio_error says %d", operation->number,
             static_cast<int>(operation->told), aio_error(&operation->block));
      }
      sleep_us(200);
    }
    if (aio_error(&operation->block) == EINPROGRESS) fail("request %d: told before it has ended", operation->number);
  }
  suspend({operation});
}

void Scenario::finish(Operation* operation) {
  if (!operation->is_accepted || operation->is_reaped) return;
  const int error = aio_error(&operation->block);
  const ssize_t result = aio_return(&operation->block);
  judge(operation, error, result);
}

void Scenario::judge(Operation* operation, int error, ssize_t result) {
  operation->is_reaped = true;
  operation->error = error;
  operation->result = result;
  if (error == operation->expected_error && error != 0) return;
  if (error != 0) {
    if (error == ECANCELED && operation->is_cancelled) return;
    if (!is_armed_ || !may_end_with(error, operation->file->is_stream)) {
      fail("request %d (%s of %zu at %lld) ended with %s", operation->number,
           operation->is_sync ? "sync" : operation->is_write ? "write" : "read", operation->block.aio_nbytes,
           static_cast<long long>(operation->block.aio_offset), strerrorname_np(error));
    }
    failed_count_++;
    return;
  }
  if (operation->is_poll) {
    const bool is_right = (result & POLLIN) != 0 || (result == 0 && operation->is_cancelled);
    if (!is_right) fail("poll %d ended with %zd", operation->number, result);
    return;
  }
  if (result != static_cast<ssize_t>(operation->is_sync ? 0 : operation->block.aio_nbytes)) {
    // A part can only have failed where an answer of the I/O itself was a failure.
    bool may_be_short = is_armed_ && may_end_with(g_fault.answer, false);
    if (!may_be_short) fail("request %d: %zd of %zu bytes", operation->number, result, operation->block.aio_nbytes);
    failed_count_++;
  }
  if (operation->is_sync || operation->is_write) return;
  if (operation->file->is_stream) {
    if (operation->file == &event_) return;
    for (ssize_t i = 0; i < result; i++) {
      if (static_cast<unsigned char>(operation->buffer.get()[i]) != kStreamByte) fail("wrong bytes from a stream");
    }
    return;
  }
  uint64_t first = (static_cast<uint64_t>(operation->block.aio_offset) - operation->file->device_offset) / kBlockBytes;
  operation->past.resize(static_cast<size_t>(result) / kBlockBytes);
  // The writes that came before it have ended, or hold it back; those not looked at yet are looked at now.
  for (const auto& writes : operation->past) {
    for (WriteId id : writes) {
      Operation* write = id != 0 ? operations_[id - 1].get() : nullptr;
      if (write == nullptr || write->is_reaped || write->native != nullptr) continue;
      if (aio_error(&write->block) == EINPROGRESS) fail("request %d overtook write %u", operation->number, id);
      finish(write);
    }
  }
  int64_t wrong = FileModel::first_wrong(operation->buffer.get(), first, operation->past,
                                         [this](WriteId id, uint64_t block) { return has_written(id, block); });
  if (wrong >= 0) fail("request %d: block %lld holds what it cannot", operation->number, static_cast<long long>(wrong));
}

bool Scenario::has_written(WriteId id, uint64_t block) const {
  const Operation& write = *operations_[id - 1];
  uint64_t first = (static_cast<uint64_t>(write.block.aio_offset) - write.file->device_offset) / kBlockBytes;
  return write.error == 0 && (block - first + 1) * kBlockBytes <= static_cast<uint64_t>(write.result);
}

// ---- Stages ----

void Scenario::cached_and_cold_reads() {
  for (int i = 0; i < 4; i++) suspend({read(&buffered_, random_() % 900, 16)});
  posix_fadvise(buffered_.fd, 0, 0, POSIX_FADV_DONTNEED);
  fdatasync(buffered_.fd);
  posix_fadvise(buffered_.fd, 0, 0, POSIX_FADV_DONTNEED);
  Operations reads;
  for (uint64_t i = 0; i < 4; i++) reads.push_back(read(&buffered_, i * 256, 32));
  suspend(reads);
  posix_fadvise(buffered_.fd, 0, 0, POSIX_FADV_DONTNEED);
  Operation* told = read(&buffered_, 64, 64, Told::kSignal);
  Operations large = {read(&buffered_, 256, 512), read(&buffered_, 512, 512)};
  poll(large);
  await_told(told);
}

void Scenario::buffered_writes() {
  Operations operations;
  for (uint64_t i = 0; i < 6; i++) operations.push_back(write(&buffered_, i * 8, 8));
  for (uint64_t i = 0; i < 10; i++) operations.push_back(write(&buffered_, 100 + i * 16, 2));
  operations.push_back(read(&buffered_, 0, 64));
  operations.push_back(write(&buffered_, 4, 16));
  Operation* synced = sync(&buffered_, Told::kSignal);
  Operation* told = write(&buffered_, 200, 8, Told::kThread);
  operations.push_back(read(&buffered_, 190, 30));
  suspend(operations);
  await_told(synced);
  await_told(told);
}

void Scenario::direct() {
  Operations operations;
  for (uint64_t i = 0; i < 8; i++) operations.push_back(write(&direct_, i * 16, 8));
  suspend(operations);
  suspend({read(&direct_, 0, 128)});
  // Cut into parts.
  Operation* large = write(&direct_, 0, 2560);
  Operation* behind = read(&direct_, 8, 8);  // waits for it
  suspend({large, behind});
  Operation* told_by_signal = read(&direct_, 1024, 8, Told::kSignal);
  Operation* told_by_thread = write(&direct_, 512, 8, Told::kThread);
  await_told(told_by_signal);
  await_told(told_by_thread);
  await_told(read(&direct_, 512, 8, Told::kOwnThread));
  operations.clear();
  // Both kinds at once, and one that has an fsync in front of it.
  for (uint64_t i = 0; i < 4; i++) operations.push_back(read(&direct_, i * 8, 8));
  operations.push_back(sync(&direct_));
  operations.push_back(read(&buffered_, 300, 300));
  operations.push_back(write(&direct_, 64, 16));
  suspend(operations);
  poll({write(&direct_, 3000, 8), read(&direct_, 3000, 16)});
}

void Scenario::lists() {
  for (int round = 0; round < 2; round++) {
    Operations operations;
    for (uint64_t i = 0; i < 4; i++) operations.push_back(prepare(&direct_, 2000 + i * 8, 8, i % 2 == 0));
    operations.push_back(prepare(&buffered_, 700, 64, round == 0));
    operations.push_back(prepare(&buffered_, 800, 8, true));
    aiocb* list[8];
    int count = 0;
    for (Operation* operation : operations) list[count++] = &operation->block;
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = on_list;
    const int mode = round == 0 ? LIO_WAIT : LIO_NOWAIT;
    int answer = lio_listio(mode, list, count, round == 0 ? nullptr : &event);
    int error = answer == 0 ? 0 : errno;
    if (error == EAGAIN && may_submit_fail()) continue;
    if (error != 0 && error != EIO && error != EINTR) fail("lio_listio: %s", strerror(error));
    for (Operation* operation : operations) {
      operation->is_accepted = true;
      note_write(operation);
      // Whether it was the submission that failed, its block says.
      int status = aio_error(&operation->block);
      if (error == EIO && status == EAGAIN && may_submit_fail()) operation->expected_error = EAGAIN;
    }
    if (round == 0 && error == 0) {
      for (Operation* operation : operations) {
        if (aio_error(&operation->block) == EINPROGRESS) fail("LIO_WAIT has not waited");
      }
    }
    if (round == 1) lists_with_a_call_++;
    suspend(operations);
  }
}

void Scenario::appends() {
  Operations operations;
  for (int i = 0; i < 10; i++) operations.push_back(write(&append_, 0, 1, i == 5 ? Told::kThread : Told::kNot));
  operations.push_back(sync(&append_));
  suspend(operations);
  await_told(operations[5]);
}

void Scenario::feed(File* file, size_t bytes) {
  char data[kStreamBytes];
  memset(data, kStreamByte, sizeof data);
  if (::write(file->fd, data, bytes) != static_cast<ssize_t>(bytes)) fail("a stream takes no more");
}

void Scenario::streams() {
  struct {
    File *from, *to;
  } pairs[] = {{&pipe_out_, &pipe_in_}, {&socket_[0], &socket_[1]}};
  for (auto& pair : pairs) {
    Operation* in = prepare_stream(pair.from, false);
    submit(in);
    sleep_us(2000);  // it blocks
    Operation* out = prepare_stream(pair.to, true);
    submit(out);
    suspend({out});
    if (out->error != 0) feed(pair.to, kStreamBytes);
    suspend({in});
  }
  Operation* counted = prepare_stream(&event_, false, 8);
  submit(counted);
  sleep_us(2000);
  uint64_t one = 1;
  if (::write(event_.fd, &one, sizeof one) != sizeof one) fail("eventfd");
  suspend({counted});
  Operation* at_once = prepare_stream(&nonblock_, false);
  at_once->expected_error = EAGAIN;
  submit(at_once);
  suspend({at_once});
  // What nobody read, because the reads failed.
  fcntl(pipe_out_.fd, F_SETFL, O_NONBLOCK);
  char rest[kStreamBytes * 4];
  while (::read(pipe_out_.fd, rest, sizeof rest) > 0) {
  }
  fcntl(pipe_out_.fd, F_SETFL, 0);
  while (recv(socket_[0].fd, rest, sizeof rest, MSG_DONTWAIT) > 0) {
  }
}

void Scenario::cancel(Operation* operation, File* feeder) {
  if (!operation->is_accepted) return;
  operation->is_cancelled = true;
  int answer = aio_cancel(operation->block.aio_fildes, &operation->block);
  int status = aio_error(&operation->block);
  switch (answer) {
    case AIO_CANCELED:
      if (status != ECANCELED) fail("cancelled, but aio_error says %s", strerrorname_np(status));
      break;
    case AIO_ALLDONE:
      if (status == EINPROGRESS) fail("all done, but aio_error says EINPROGRESS");
      break;
    case AIO_NOTCANCELED:
      if (g_fault.kind < 0) fail("a blocked stream was not cancelled");
      if (feeder == &event_) {
        uint64_t one = 1;
        if (::write(event_.fd, &one, sizeof one) != sizeof one) fail("eventfd");
      } else {
        feed(feeder, kStreamBytes);
      }
      break;
    default: fail("aio_cancel: %s", strerror(errno));
  }
  suspend({operation});
}

void Scenario::cancelling() {
  struct {
    File *from, *to;
  } pairs[] = {{&pipe_out_, &pipe_in_}, {&socket_[0], &socket_[1]}, {&event_, &event_}};
  for (auto& pair : pairs) {
    uint64_t drained;
    if (pair.from == &event_) {
      fcntl(event_.fd, F_SETFL, O_NONBLOCK);
      if (::read(event_.fd, &drained, sizeof drained) < 0 && errno != EAGAIN) fail("eventfd");
      fcntl(event_.fd, F_SETFL, 0);
    }
    Operation* blocked = prepare_stream(pair.from, false, pair.from == &event_ ? 8 : kStreamBytes);
    submit(blocked);
    sleep_us(3000);
    cancel(blocked, pair.to);
  }
}

void Scenario::block_device() {
  if (device_.fd < 0) return;
  Operations operations;
  for (uint64_t i = 0; i < 4; i++) operations.push_back(write(&device_, i * 16, 8));
  operations.push_back(read(&device_, 0, 64));
  suspend(operations);
  await_told(read(&device_, 8, 8, Told::kSignal));
  Operation* unaligned = prepare(&device_, 0, 0, false);  // through the page cache
  unaligned->block.aio_nbytes = 0;
  submit(unaligned);
  poll({write(&device_, 128, 8), read(&device_, 120, 32), unaligned});
}

// ---- Contexts ----

Operation* Scenario::prepare_native(Operation* operation, unsigned opcode, unsigned parts) {
  operation->native = std::make_unique<iocb>();
  iocb& block = *operation->native;
  block.aio_data = reinterpret_cast<uintptr_t>(operation);
  block.aio_lio_opcode = static_cast<uint16_t>(opcode);
  block.aio_fildes = static_cast<uint32_t>(operation->file->fd);
  operation->is_sync = opcode == IOCB_CMD_FSYNC || opcode == IOCB_CMD_FDSYNC;
  operation->is_counted = operation->number % 2 == 0;
  if (operation->is_counted) {
    block.aio_flags = IOCB_FLAG_RESFD;
    block.aio_resfd = static_cast<uint32_t>(counting_fd_);
  }
  if (operation->is_sync || operation->is_poll) return operation;
  const size_t length = operation->block.aio_nbytes;
  block.aio_offset = operation->block.aio_offset;
  block.aio_buf = reinterpret_cast<uintptr_t>(operation->buffer.get());
  block.aio_nbytes = length;
  if (parts == 0) return operation;
  const size_t part = length / parts / kBlockBytes * kBlockBytes;
  for (size_t at = 0, i = 1; i <= parts; at += part, i++) {
    operation->vectors.push_back({operation->buffer.get() + at, i == parts ? length - at : part});
  }
  block.aio_buf = reinterpret_cast<uintptr_t>(operation->vectors.data());
  block.aio_nbytes = parts;
  return operation;
}

Operation* Scenario::prepare_poll(File* file) {
  Operation* operation = prepare_stream(file, false);
  operation->is_poll = true;
  prepare_native(operation, IOCB_CMD_POLL);
  operation->native->aio_buf = POLLIN;
  return operation;
}

// All in one call, and, of what that leaves, the next ones again.
void Scenario::submit_native(const Operations& operations) {
  for (size_t i = 0; i < operations.size();) {
    std::vector<iocb*> list;
    for (size_t j = i; j < operations.size(); j++) list.push_back(operations[j]->native.get());
    const long answer = aiox::shim::submit_blocks(context_, static_cast<long>(list.size()), list.data());
    for (long j = 0; j < answer; j++) {
      Operation* operation = operations[i++];
      operation->is_accepted = true;
      note_write(operation);
      if (operation->is_counted) counted_++;
    }
    if (answer > 0) continue;
    const bool is_legal = is_armed_ && ((answer == -EAGAIN && may_submit_fail()) ||
                                        (is_harm(Harm::kResult) && answer == -g_fault.answer));
    if (!is_legal) fail("io_submit of request %d: %ld", operations[i]->number, answer);
    i++;  // not that one
  }
}

void Scenario::take_events(const Operations& operations) {
  for (;;) {
    bool is_any_left = false;
    for (Operation* operation : operations)
      is_any_left = is_any_left || (operation->is_accepted && !operation->is_reaped);
    if (!is_any_left) return;
    io_event events[8];
    const long count = aiox::shim::get_events(context_, 1, 8, events, &kEventLimit);
    if (count == -EINTR) continue;
    if (count == 0) fail("io_getevents: no event has come");
    if (count < 0) fail("io_getevents: %ld", count);
    for (long i = 0; i < count; i++) {
      auto* operation = reinterpret_cast<Operation*>(events[i].data);
      if (events[i].obj != reinterpret_cast<uintptr_t>(operation->native.get())) fail("an event of another block");
      if (!operation->is_accepted || operation->is_reaped) fail("request %d: an event too many", operation->number);
      const int64_t result = events[i].res;
      judge(operation, result < 0 ? static_cast<int>(-result) : 0, result);
    }
  }
}

void Scenario::cancel_native(Operation* operation, File* feeder) {
  if (!operation->is_accepted) return;
  operation->is_cancelled = true;
  io_event unused;
  const long answer = aiox::shim::cancel_block(context_, operation->native.get(), &unused);
  if (answer == -EINVAL) {
    // It has ended, or goes on.
    if (g_fault.kind < 0) fail("a blocked stream was not cancelled");
    feed(feeder, kStreamBytes);
  } else if (answer != -EINPROGRESS) {
    fail("io_cancel: %ld", answer);
  }
  take_events({operation});
}

// With that in flight.
void Scenario::destroy_native(const Operations& operations, File* feeder) {
  g_rescue_fd = feeder->fd;
  itimerval again = {{0, kRescueMs * 1000}, {0, kRescueMs * 1000}}, never = {};
  setitimer(ITIMER_REAL, &again, nullptr);
  const long answer = aiox::shim::destroy_context(context_);
  setitimer(ITIMER_REAL, &never, nullptr);
  if (answer != 0) fail("io_destroy: %ld", answer);
  // How they ended nobody was told: what a write may have done, the disk may hold.
  for (Operation* operation : operations) {
    operation->is_reaped = true;
    if (operation->error == EINPROGRESS) operation->error = EIO;
  }
  uint64_t told = 0, more = 0;
  while (::read(counting_fd_, &more, sizeof more) == sizeof more) told += more;
  if (told != counted_) fail("an eventfd was told %llu times for %llu", static_cast<unsigned long long>(told),
                             static_cast<unsigned long long>(counted_));
  counted_ = 0;
  io_event event;
  const long stale = aiox::shim::get_events(context_, 0, 1, &event, nullptr);
  // The kernel answers for what is no context of the library's: the fault may be its.
  if (stale >= 0) fail("io_getevents of what was destroyed: %ld", stale);
}

void Scenario::drain(File* file) {
  fcntl(file->fd, F_SETFL, O_NONBLOCK);
  char rest[kStreamBytes * 4];
  while (::read(file->fd, rest, sizeof rest) > 0) {
  }
  fcntl(file->fd, F_SETFL, 0);
}

void Scenario::contexts() {
  signal(SIGALRM, on_alarm);
  context_ = 0;
  const long answer = aiox::shim::setup_context(32, &context_);
  if (answer != 0) {
    if ((answer != -ENOMEM && answer != -EAGAIN) || !may_submit_fail() || !is_armed_) fail("io_setup: %ld", answer);
    return;
  }
  auto transfer = [this](File* file, uint64_t first, size_t count, bool is_write, unsigned parts) {
    const unsigned opcode = parts > 0  ? (is_write ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV)
                            : is_write ? IOCB_CMD_PWRITE
                                       : IOCB_CMD_PREAD;
    return prepare_native(prepare(file, first, count, is_write), opcode, parts);
  };
  auto sync = [this](File* file, unsigned opcode) { return prepare_native(prepare(file, 0, 0, false), opcode); };
  posix_fadvise(buffered_.fd, 0, 0, POSIX_FADV_DONTNEED);
  // One at a time, then many at once.
  for (File* file : {&buffered_, &direct_}) {
    Operations one = {transfer(file, 40, 8, true, 0)};
    submit_native(one);
    take_events(one);
    Operations next = {transfer(file, 40, 8, false, 3)};
    submit_native(next);
    take_events(next);
  }
  // What stands behind a write in one list is prepared, and sees, after it is submitted: so in two.
  Operations first = {transfer(&buffered_, 0, 16, true, 0),  transfer(&direct_, 64, 16, true, 0),
                      transfer(&buffered_, 32, 32, true, 4), transfer(&direct_, 128, 32, true, 2),
                      sync(&buffered_, IOCB_CMD_FSYNC),      sync(&direct_, IOCB_CMD_FDSYNC)};
  submit_native(first);
  Operations second = {transfer(&buffered_, 0, 64, false, 5), transfer(&direct_, 64, 96, false, 3),
                       transfer(&buffered_, 600, 300, false, 0), transfer(&direct_, 256, 2560, false, 0)};
  submit_native(second);
  take_events(first);
  take_events(second);
  // Streams, and a poll that is answered by what it waits for.
  Operation* in = prepare_native(prepare_stream(&native_out_, false), IOCB_CMD_PREAD);
  Operation* polled = prepare_poll(&polled_out_);
  submit_native({in, polled});
  sleep_us(2000);  // they wait
  Operation* out = prepare_native(prepare_stream(&native_in_, true), IOCB_CMD_PWRITE);
  submit_native({out});
  feed(&polled_in_, kStreamBytes);
  take_events({out, polled});
  if (out->error != 0 || !out->is_accepted) feed(&native_in_, kStreamBytes);
  take_events({in});
  drain(&polled_out_);
  drain(&native_out_);
  // Cancelled.
  in = prepare_native(prepare_stream(&native_out_, false), IOCB_CMD_PREAD);
  polled = prepare_poll(&polled_out_);
  submit_native({in, polled});
  sleep_us(3000);
  cancel_native(in, &native_in_);
  drain(&native_out_);
  cancel_native(polled, &polled_in_);
  drain(&polled_out_);
  // Destroyed.
  Operations left = {prepare_poll(&polled_out_), transfer(&buffered_, 900, 16, true, 2),
                     transfer(&direct_, 3500, 16, true, 2), transfer(&direct_, 3600, 300, false, 0),
                     prepare_poll(&polled_out_)};
  submit_native(left);
  destroy_native(left, &polled_in_);
  drain(&polled_out_);
}

// close(2) comes back when what was submitted has ended.
void Scenario::closing() {
  Operations operations;
  for (uint64_t i = 0; i < 4; i++) operations.push_back(write(&closed_, i * 64, 64));
  posix_fadvise(closed_.fd, 0, 0, POSIX_FADV_DONTNEED);
  operations.push_back(read(&closed_, 300, 212));
  int other = fcntl(closed_.fd, F_DUPFD_CLOEXEC, 0);
  if (close(closed_.fd) != 0) fail("close");
  closed_.fd = other;
  for (Operation* operation : operations) {
    if (operation->is_accepted && aio_error(&operation->block) == EINPROGRESS) fail("a request has outlived close");
  }
  suspend(operations);
}

void Scenario::after_the_fault() {
  Operations operations;
  for (uint64_t i = 0; i < 3; i++) {
    operations.push_back(write(&buffered_, 500 + i, 1));
    operations.push_back(read(&buffered_, 500, 8));
    operations.push_back(write(&direct_, 1000 + i * 8, 8));
    operations.push_back(read(&direct_, 1000, 24));
    if (device_.fd >= 0) operations.push_back(write(&device_, 256 + i * 8, 8));
  }
  Operation* in = prepare_stream(&pipe_out_, false);
  submit(in);
  Operation* told = write(&direct_, 1100, 8, Told::kThread);
  feed(&pipe_in_, kStreamBytes);
  operations.push_back(in);
  suspend(operations);
  await_told(told);
  contexts();
}

void Scenario::look_at_the_disk() {
  const struct {
    File* file;
    const char* name;
  } files[] = {{&buffered_, "buffered file"}, {&direct_, "direct file"}, {&closed_, "closed file"},
               {&device_, "device"}};
  for (const auto& [file, name] : files) {
    if (file->fd < 0) continue;
    FileModel::Past past = file->model.past();
    size_t bytes = past.size() * kBlockBytes;
    std::unique_ptr<char, void (*)(void*)> content(static_cast<char*>(aligned_alloc(4096, bytes)), free);
    ssize_t count = pread(file->fd, content.get(), bytes, static_cast<off_t>(file->device_offset));
    if (count != static_cast<ssize_t>(bytes)) fail("the disk gives %zd of %zu bytes", count, bytes);
    int64_t wrong = FileModel::first_wrong(content.get(), 0, past,
                                           [this](WriteId id, uint64_t block) { return has_written(id, block); });
    if (wrong >= 0) fail("on disk, block %lld of the %s is not what it can be", static_cast<long long>(wrong), name);
  }
  // Appended records: all that succeeded, in call order; of those that failed, any.
  off_t at = 0;
  for (Operation* record : appended_) {
    char block[kBlockBytes];
    bool is_there = pread(append_.fd, block, sizeof block, at) == static_cast<ssize_t>(sizeof block) &&
                    is_block_of(block, static_cast<WriteId>(record->number), 0);
    if (is_there) at += static_cast<off_t>(kBlockBytes);
    if (!is_there && record->error == 0) fail("record %d was not appended in its turn", record->number);
  }
  if (lseek(append_.fd, 0, SEEK_END) != at) fail("more was appended than was asked for");
}

void Scenario::run() {
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGRTMIN + 1, &action, nullptr);
  install_past_sanitizer(SIGRTMIN + 1);
  open_all();
  is_armed_ = true;
  arm(g_fault, &g_report->hits);
  using Stage = void (*)(Scenario*);
  const Stage stages[] = {
      [](Scenario* self) { self->cached_and_cold_reads(); },
      [](Scenario* self) { self->buffered_writes(); },
      [](Scenario* self) { self->direct(); },
      [](Scenario* self) { self->lists(); },
      [](Scenario* self) { self->appends(); },
      [](Scenario* self) { self->streams(); },
      [](Scenario* self) { self->cancelling(); },
      [](Scenario* self) { self->block_device(); },
      [](Scenario* self) { self->contexts(); },
      [](Scenario* self) { self->closing(); },
  };
  // Which thread there is already when a call fails depends on what came before.
  std::vector<int> order;
  for (int i = 0; i < static_cast<int>(std::size(stages)); i++) order.push_back(i);
  std::shuffle(order.begin(), order.end(), random_);
  for (int stage : order) {
    g_report->stage.store(stage + 1);
    stages[stage](this);
  }
  disarm();
  for (int i = 0; i < kKindCount; i++) g_report->counts[i].store(count_of(i));
  is_armed_ = false;
  g_report->stage.store(100);
  after_the_fault();
  g_report->stage.store(101);
  look_at_the_disk();
  // Every notification once, none for what was not accepted.
  const int64_t since = now_ms();
  for (const auto& operation : operations_) {
    const uint32_t wanted = operation->is_accepted && operation->told != Told::kNot ? 1 : 0;
    while (g_told[operation->number].load() < wanted && now_ms() - since < kToldMs) sleep_us(200);
    if (operation->is_accepted && !operation->is_reaped) fail("request %d was left", operation->number);
  }
  while (static_cast<int>(g_list_told.load()) < lists_with_a_call_ && now_ms() - since < kToldMs) sleep_us(200);
  sleep_us(2000);
  for (const auto& operation : operations_) {
    const uint32_t wanted = operation->is_accepted && operation->told != Told::kNot ? 1 : 0;
    if (g_told[operation->number].load() != wanted) {
      fail("request %d: %u notifications for %u", operation->number, g_told[operation->number].load(), wanted);
    }
  }
  if (static_cast<int>(g_list_told.load()) != lists_with_a_call_) fail("a list was told %u times", g_list_told.load());
  aiox_counters counters{};
  counters.size = sizeof counters;
  aiox_get_counters(&counters);
  while (counters.outstanding != 0 && now_ms() - since < kToldMs) {
    sleep_us(200);
    aiox_get_counters(&counters);
  }
  if (counters.outstanding != 0) fail("%u requests are still counted as outstanding", counters.outstanding);
  if (!g_fault.is_lasting && is_harm(Harm::kResult) && kind()->number != SYS_fsync && failed_count_ > 1) {
    fail("one call has failed, and %d requests with it", failed_count_);
  }
  g_report->lanes[0].store(counters.inline_completed);
  g_report->lanes[1].store(counters.direct_completed);
  g_report->lanes[2].store(counters.io_uring_completed);
  g_report->lanes[3].store(counters.threads_completed);
  _exit(0);
}

}  // namespace

void run_scenario(const Place& place, const Fault& fault, uint64_t seed, Report* report) {
  g_fault = fault;
  g_seed = seed;
  g_report = report;
  report->stage.store(0);
  setenv("AIOX_DIRECT_BLOCK", "always", 1);
  Scenario(place).run();
  _exit(2);
}

}  // namespace faults
