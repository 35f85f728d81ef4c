// guest.cc - the main program of the properties, and their helpers.
#include "guest.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <random>

#include "aiox/aiox.h"

extern char** environ;

namespace guest {

uint64_t g_seed;

namespace {

struct Property {
  const char* name;
  void (*body)();
};

std::vector<Property>& properties() {
  static std::vector<Property> list;
  return list;
}

std::atomic<uint64_t> g_random{0};
const char* g_name = "";

void read_all(int fd, std::string* text) {
  char buffer[4096];
  ssize_t got;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) text->append(buffer, size_t(got));
  close(fd);
}

}  // namespace

Registration::Registration(const char* name, void (*body)()) { properties().push_back({name, body}); }

void fail(const char* file, int line, const char* format, ...) {
  char text[600];
  const char* slash = strrchr(file, '/');
  int length = snprintf(text, sizeof text, "FAILED: %s: %s:%d: ", g_name, slash ? slash + 1 : file, line);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + length, sizeof text - size_t(length), format, arguments);
  va_end(arguments);
  dprintf(2, "%s (seed %llu)\n", text, static_cast<unsigned long long>(g_seed));
  _exit(1);
}

void skip(const char* reason) {
  dprintf(1, "SKIP: %s\n", reason);
  _exit(77);
}

uint64_t random_below(uint64_t bound) {
  uint64_t x = g_random.fetch_add(0x9e3779b97f4a7c15ull, std::memory_order_relaxed);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return (x ^ (x >> 31)) % bound;
}

bool is_sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

bool is_thread_sanitized() {
#if defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

unsigned trials(unsigned count) { return is_sanitized() ? std::max(count / 25, 4u) : count; }

bool is_answered_by_aiox() { return dlsym(RTLD_DEFAULT, "aiox_version") != nullptr; }

unsigned char block_byte(uint64_t block, unsigned salt) {
  return static_cast<unsigned char>(1 + (block * 37 + salt * 101) % 251);
}

std::string scratch_path(const char* name) {
  const char* directory = getenv("AIOX_TEST_SCRATCH");
  return std::string(directory ? directory : ".") + "/guest-" + std::to_string(getpid()) + "-" + name;
}

int pattern_file_at(const std::string& path, size_t size_bytes, int flags, unsigned salt) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) FAIL("cannot create %s: %s", path.c_str(), strerror(errno));
  std::vector<unsigned char> chunk(256 * kBlockBytes);
  for (size_t done = 0; done < size_bytes;) {
    for (size_t i = 0; i < chunk.size(); ++i) chunk[i] = block_byte((done + i) / kBlockBytes, salt);
    size_t part = std::min(chunk.size(), size_bytes - done);
    CHECK(::write(fd, chunk.data(), part) == ssize_t(part));
    done += part;
  }
  if (flags == 0) return fd;
  close(fd);
  return open(path.c_str(), O_RDWR | O_CLOEXEC | flags);
}

int pattern_file(size_t size_bytes, int flags) {
  static std::atomic<unsigned> serial{0};
  std::string path = scratch_path(std::to_string(serial.fetch_add(1)).c_str());
  int fd = pattern_file_at(path, size_bytes, flags);
  unlink(path.c_str());
  return fd;
}

void drop_cache(int fd) {
  fdatasync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

bool supports_direct() {
  int fd = pattern_file(kBlockBytes, O_DIRECT);
  if (fd < 0) return false;
  close(fd);
  return true;
}

Request::Request(size_t bytes)
    : buffer(static_cast<unsigned char*>(aligned_alloc(4096, (bytes + 4095) & ~4095ull))), size_bytes(bytes) {
  CHECK(buffer != nullptr);
  memset(buffer, 0, bytes);
}

Request::~Request() { free(buffer); }

void Request::read(int fd, uint64_t offset) {
  block = {};
  block.aio_fildes = fd;
  block.aio_offset = off_t(offset);
  block.aio_buf = buffer;
  block.aio_nbytes = size_bytes;
  block.aio_sigevent.sigev_notify = SIGEV_NONE;
  memset(buffer, 0, size_bytes);
  CHECK(aio_read(&block) == 0);
}

void Request::write(int fd, uint64_t offset) {
  block = {};
  block.aio_fildes = fd;
  block.aio_offset = off_t(offset);
  block.aio_buf = buffer;
  block.aio_nbytes = size_bytes;
  block.aio_sigevent.sigev_notify = SIGEV_NONE;
  CHECK(aio_write(&block) == 0);
}

int Request::wait() {
  const aiocb* list[] = {&block};
  while (!is_done()) {
    int result = aio_suspend(list, 1, nullptr);
    if (result != 0 && errno != EINTR) FAIL("aio_suspend: %s", strerror(errno));
  }
  return aio_error(&block);
}

void Request::wait_for_all() {
  int error = wait();
  ssize_t result = aio_return(&block);
  if (error != 0 || result != ssize_t(size_bytes))
    FAIL("%s of %zu bytes at %lld ended with \"%s\", %zd", block.aio_lio_opcode == LIO_WRITE ? "write" : "request",
         size_bytes, static_cast<long long>(block.aio_offset), strerror(error), result);
}

void Request::check_pattern(unsigned salt) const {
  for (size_t i = 0; i < size_bytes; ++i)
    if (buffer[i] != block_byte((uint64_t(block.aio_offset) + i) / kBlockBytes, salt))
      FAIL("byte %zu of the read at %lld is %d", i, static_cast<long long>(block.aio_offset), buffer[i]);
}

namespace {
aiox_counters counters() {
  aiox_counters result{};
  result.size = sizeof result;
  auto get = reinterpret_cast<decltype(&aiox_get_counters)>(dlsym(RTLD_DEFAULT, "aiox_get_counters"));
  if (get != nullptr) CHECK(get(&result) == 0);
  return result;
}
}  // namespace

uint64_t outstanding_requests() { return counters().outstanding; }
uint64_t direct_completions() { return counters().direct_completed; }
uint64_t direct_refusals() { return counters().direct_refused; }

unsigned thread_count() {
  unsigned count = 0;
  DIR* directory = opendir("/proc/self/task");
  CHECK(directory != nullptr);
  while (dirent* entry = readdir(directory)) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

std::vector<std::string> other_threads() {
  std::vector<std::string> numbers;
  DIR* directory = opendir("/proc/self/task");
  CHECK(directory != nullptr);
  while (dirent* entry = readdir(directory))
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != gettid()) numbers.push_back(entry->d_name);
  closedir(directory);
  return numbers;
}

size_t read_whole(const char* path, char* text, size_t size_bytes) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  size_t length = 0;
  ssize_t got;
  while ((got = read(fd, text + length, size_bytes - length)) > 0) length += size_t(got);
  close(fd);
  CHECK(length < size_bytes);
  return length;
}

long resident_bytes() {
  char text[128] = {};
  read_whole("/proc/self/statm", text, sizeof text);
  long size = 0, resident = 0;
  CHECK(sscanf(text, "%ld %ld", &size, &resident) == 2);
  return resident * 4096;
}

double processor_seconds() {
  timespec time;
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

std::string descriptor_table() {
  // When glibc's malloc makes a ninth arena (in pthread_create, on whatever thread), it opens a file, once, to see how
  // many processors there are; unless the limit is given.
  mallopt(M_ARENA_MAX, 64);
  std::vector<int> open_ones;
  DIR* directory = opendir("/proc/self/fd");
  CHECK(directory != nullptr);
  while (dirent* entry = readdir(directory))
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory)) open_ones.push_back(atoi(entry->d_name));
  closedir(directory);
  std::sort(open_ones.begin(), open_ones.end());
  std::string text;
  for (int fd : open_ones) text += (text.empty() ? "" : " ") + std::to_string(fd);
  return text;
}

void sleep_ms(unsigned milliseconds) {
  timespec left{time_t(milliseconds / 1000), long(milliseconds % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

bool comes_true(const std::function<bool()>& condition) {
  const char* backend = getenv("AIOX_BACKEND");
  const unsigned tries = backend != nullptr && strcmp(backend, "io_uring") == 0 ? 300 : 1;
  for (unsigned i = 1; !condition(); ++i) {
    if (i == tries) return false;
    sleep_ms(10);
  }
  return true;
}

pid_t fork_child(const std::function<void()>& body, unsigned seconds) {
  fflush(nullptr);
  pid_t child = fork();
  if (child < 0) FAIL("fork: %s", strerror(errno));
  if (child > 0) return child;
  alarm(seconds);
  body();
  _exit(0);
}

void expect_clean_exit(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  if (WIFSIGNALED(status))
    FAIL("the child died of signal %d%s", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? ": it hung" : "");
  if (WEXITSTATUS(status) == 77) _exit(77);  // it printed its reason
  if (WEXITSTATUS(status) != 0) FAIL("the child ended with status %d", WEXITSTATUS(status));
}

int run_again(const char* property, const std::vector<std::string>& environment, std::string* output,
              std::string* errors) {
  int out[2], err[2];
  CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  std::vector<char*> variables;
  auto is_replaced = [&](const char* variable) {
    for (const std::string& text : environment) {
      size_t name_length = text.find('=');
      if (strncmp(variable, text.c_str(), name_length + 1) == 0) return true;
    }
    return false;
  };
  for (char** variable = environ; *variable; ++variable)
    if (!is_replaced(*variable)) variables.push_back(*variable);
  for (const std::string& text : environment) variables.push_back(const_cast<char*>(text.c_str()));
  variables.push_back(nullptr);
  const char* arguments[] = {"guest_properties", property, nullptr};
  pid_t child;
  CHECK(posix_spawn(&child, "/proc/self/exe", &actions, nullptr, const_cast<char**>(arguments), variables.data()) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(err[1]);
  read_all(out[0], output);
  read_all(err[0], errors);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void use_aio_a_little() {
  int fd = pattern_file(64 * 1024);
  Request write, read;
  write.fill(7);
  write.write(fd, 8192);
  read.read(fd, 16384);
  write.wait_for_all();
  read.wait_for_all();
  read.check_pattern();
  read.read(fd, 8192);
  read.wait_for_all();
  CHECK(read.buffer[0] == 7 && read.buffer[4095] == 7);
  close(fd);
}

}  // namespace guest

int main(int argc, char** argv) {
  using namespace guest;
  if (argc < 2) {
    for (const Property& property : properties()) puts(property.name);
    return 2;
  }
  std::random_device device;
  g_seed = argc > 3 && strcmp(argv[2], "--seed") == 0 ? strtoull(argv[3], nullptr, 0) : device();
  g_random = g_seed;
  const char* against = getenv("AIOX_TEST_AGAINST");
  bool wants_aiox = against == nullptr || strcmp(against, "glibc") != 0;
  g_name = argv[1];
  printf("seed %llu\n", static_cast<unsigned long long>(g_seed));
  fflush(stdout);
  alarm(is_sanitized() ? 280 : 110);  // a hang ends the process by SIGALRM
  for (const Property& property : properties())
    if (strcmp(property.name, argv[1]) == 0) {
      if (wants_aiox != is_answered_by_aiox()) FAIL("%s answers", is_answered_by_aiox() ? "aiox" : "the C library");
      property.body();
      printf("ok: %s\n", argv[1]);
      return 0;
    }
  printf("no property %s\n", argv[1]);
  return 2;
}
