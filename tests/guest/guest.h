// guest.h - what the tests of good manners share: aiox is a guest in somebody else's process, and each property says
// one thing that the host must not notice.
//
// One program holds all properties; `guest_properties NAME` runs one of them in a process of its own, since most of
// them depend on what a process has done before. Plain <aio.h>, so that the C library can be asked the same questions
// (AIOX_TEST_AGAINST=glibc).
#ifndef AIOX_TESTS_GUEST_GUEST_H
#define AIOX_TESTS_GUEST_GUEST_H

#include <aio.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace guest {

struct Registration {
  Registration(const char* name, void (*body)());
};

#define GUEST_PROPERTY(name)                                 \
  static void name();                                        \
  static const guest::Registration k_registration_##name{#name, name}; \
  static void name()

// Both end the process at once; usable in any thread and in forked children (whose status is then 1 or 77).
[[noreturn]] void fail(const char* file, int line, const char* format, ...) __attribute__((format(printf, 3, 4)));
[[noreturn]] void skip(const char* reason);
#define CHECK(condition) ((condition) ? void(0) : guest::fail(__FILE__, __LINE__, "%s (errno %d)", #condition, errno))
#define FAIL(...) guest::fail(__FILE__, __LINE__, __VA_ARGS__)

extern uint64_t g_seed;
uint64_t random_below(uint64_t bound);  // Thread: any; the sequence is that of the seed in a process with one thread

// `count`, or what a sanitizer's slowness leaves of it.
unsigned trials(unsigned count);
bool is_sanitized();
bool is_thread_sanitized();
bool is_answered_by_aiox();

// A file with no name: block k (512 bytes) holds block_byte(k). `flags` are added to O_RDWR | O_CLOEXEC.
constexpr size_t kBlockBytes = 512;
int pattern_file(size_t size_bytes, int flags = 0);
int pattern_file_at(const std::string& path, size_t size_bytes, int flags, unsigned salt = 0);
unsigned char block_byte(uint64_t block, unsigned salt = 0);
std::string scratch_path(const char* name);  // in AIOX_TEST_SCRATCH, unique to this process
void drop_cache(int fd);                     // the next reads of it are cold
bool supports_direct();

// A control block with a buffer, aligned for O_DIRECT.
class Request {
 public:
  explicit Request(size_t size_bytes = 4096);
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  void read(int fd, uint64_t offset);   // submits; must be accepted
  void write(int fd, uint64_t offset);  // likewise; fill() before
  void fill(unsigned char value) { memset(buffer, value, size_bytes); }
  bool is_done() const { return aio_error(&block) != EINPROGRESS; }
  int wait();               // until it has ended; the error status
  void wait_for_all();      // it must succeed with every byte asked for
  void check_pattern(unsigned salt = 0) const;  // after read() of a pattern file, offset a multiple of kBlockBytes

  aiocb block{};
  unsigned char* buffer;
  size_t size_bytes;
};

// One pattern file for all loads of the process: writing 16 MiB each time would be most of a test's time. -1: no
// O_DIRECT.
constexpr size_t kLoadFileBytes = 16 * 1024 * 1024;
int load_file(bool is_direct);

// Some requests of each kind that take a while: cold buffered reads, O_DIRECT reads, reads of empty pipes.
class Load {
 public:
  explicit Load(unsigned files = 32, unsigned pipes = 2);
  ~Load();
  void submit();
  void feed_pipes();     // lets the pipe reads end
  void finish();         // feeds, waits, checks every byte
  void finish_fed();     // the same when the pipes have been fed
  bool is_anything_in_flight() const;
  void forget();         // in a forked child: the requests are not ours

 private:
  int file_, direct_;
  std::vector<int> read_ends_, write_ends_;
  std::vector<std::unique_ptr<Request>> file_requests_, pipe_requests_;
};

uint64_t outstanding_requests();  // as aiox counts; 0 when the C library answers
uint64_t direct_completions();    // requests that the direct lane has ended, likewise
uint64_t direct_refusals();       // requests that it could not take, likewise: a busy device may have no room for one
unsigned thread_count();          // of this process, as the kernel counts
std::vector<std::string> other_threads();  // than the calling one, by number
// Without the buffers of stdio, which would count. Returns the length; less than size_bytes, or the test fails.
size_t read_whole(const char* path, char* text, size_t size_bytes);
long resident_bytes();
double processor_seconds();       // that this process has used
std::string descriptor_table();   // "0 1 2 5": what is open, without the descriptor that looks
void sleep_ms(unsigned milliseconds);
// At once; where AIOX_BACKEND=io_uring has writes and fsyncs done by a ring, which may hold on to a file until its
// thread next enters it, within that thread's idle time (L-15).
bool comes_true(const std::function<bool()>& condition);

// Runs `body` in a forked child, which then exits with 0; the child is killed after `seconds`.
pid_t fork_child(const std::function<void()>& body, unsigned seconds = 30);
void expect_clean_exit(pid_t child);
// Runs this program again with the given property, returns its exit status; what it says on stderr goes to *errors.
int run_again(const char* property, const std::vector<std::string>& environment, std::string* output,
              std::string* errors);
// A little asynchronous I/O on a new file of its own, from beginning to end.
void use_aio_a_little();

}  // namespace guest
#endif
