// resources.cc - what aiox takes of what others need, too: fs.aio-max-nr, address space, locked memory. In proportion
// to what is in flight, and given back.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "native.h"
#include "slow_device.h"

using namespace guest;

namespace {

using Requests = std::vector<std::unique_ptr<Request>>;

bool has_direct_lane() {
  const char* backend = getenv("AIOX_BACKEND");
  return is_answered_by_aiox() && (backend == nullptr || strcmp(backend, "auto") == 0);
}

long figure(const char* name) {
  char text[32];
  read_whole(name, text, sizeof text);
  return strtol(text, nullptr, 10);
}

// Contexts of the kernel's AIO that this process has.
unsigned contexts() {
  static char text[1 << 20];
  read_whole("/proc/self/maps", text, sizeof text);
  unsigned count = 0;
  for (const char* at = text; (at = strstr(at, "/[aio]")) != nullptr; ++at) ++count;
  return count;
}

Requests reads_of_slow_blocks(int fd, unsigned count) {
  Requests requests;
  for (unsigned i = 0; i < count; ++i) {
    requests.push_back(std::make_unique<Request>(4096));
    requests.back()->read(fd, i * 4096);
  }
  return requests;
}

void finish(Requests& requests) {
  for (auto& request : requests) {
    request->wait_for_all();
    request->check_pattern();
  }
}

}  // namespace

// ---- fs.aio-max-nr ----

GUEST_PROPERTY(a_hundred_processes_with_a_direct_read_each_leave_aio_max_nr_to_others) {
  if (is_sanitized()) skip("the children make AIO calls");
  int fd = pattern_file(4096, O_DIRECT);
  if (fd < 0) skip("O_DIRECT is not supported here");
  int done[2], end[2];
  CHECK(pipe(done) == 0 && pipe(end) == 0);
  const long before = figure("/proc/sys/fs/aio-nr");
  std::vector<pid_t> children;
  for (unsigned i = 0; i < 100; ++i) {
    children.push_back(fork_child([&] {
      close(end[1]);
      Request request;
      request.read(fd, 0);
      request.wait_for_all();
      request.check_pattern();
      char byte = 0;
      CHECK(write(done[1], &byte, 1) == 1);
      CHECK(read(end[0], &byte, 1) == 0);
    }));
  }
  for (unsigned i = 0; i < 100; ++i) {
    char byte;
    CHECK(read(done[0], &byte, 1) == 1);
  }
  // Others may come and go meanwhile: what is shown is that it is not some hundred for each.
  const long taken = figure("/proc/sys/fs/aio-nr") - before;
  close(end[1]);
  for (pid_t child : children) expect_clean_exit(child);
  printf("%ld of %ld\n", taken, figure("/proc/sys/fs/aio-max-nr"));
  if (taken > 10'000) FAIL("100 processes have taken %ld of fs.aio-max-nr", taken);
}

GUEST_PROPERTY(many_direct_requests_get_a_larger_context_and_give_it_back) {
  if (!has_direct_lane()) skip("only with the direct lane");
  SlowDevice first, second;
  int fds[] = {first.open_direct(), second.open_direct()};
  const unsigned threads = thread_count();
  for (unsigned round = 0; round < 2; ++round) {
    CHECK(contexts() == 0);
    first.hold();
    second.hold();
    Requests requests = reads_of_slow_blocks(fds[0], 20);
    CHECK(contexts() == 1);
    // As many as a device takes at a time, of two: more than the first has room for.
    for (int fd : fds) {
      Requests more = reads_of_slow_blocks(fd, 90);
      for (auto& request : more) requests.push_back(std::move(request));
    }
    const unsigned during = contexts();
    const uint64_t refused = direct_refusals();
    first.release();
    second.release();
    finish(requests);
    printf("%u contexts with %zu requests, %llu refused\n", during, requests.size(),
           static_cast<unsigned long long>(refused));
    if (during != 2 && refused == 0) FAIL("%u contexts", during);
    // The old one goes as soon as it is empty, the other when it has been idle.
    for (unsigned waited_ms = 0; contexts() > 0 || thread_count() > threads; waited_ms += 20) {
      if (waited_ms > 20'000) FAIL("%u contexts, %u threads stay; %u before", contexts(), thread_count(), threads);
      sleep_ms(20);
    }
  }
}

// ---- Address space, locked memory ----

namespace {

// POSIX and native requests, buffered and O_DIRECT, on files that were made before.
void use_each_interface(int buffered, int direct) {
  for (int fd : {buffered, direct}) {
    if (fd < 0) continue;
    Request request;
    request.read(fd, 0);
    request.wait_for_all();
    request.check_pattern();
    request.write(fd, 0);
    request.wait_for_all();
    NativeContext context;
    NativeRequests native = native_requests(2);
    native[0]->read(fd, 4096);
    native[1]->read(fd, 0);
    context.submit(native);
    for (unsigned reaped = 0; reaped < 2;) reaped += context.reap();
    for (auto& one : native) {
      one->expect_all();
      one->check_pattern();
    }
  }
}

long status_kb(const char* what) {
  char text[8192];
  read_whole("/proc/self/status", text, sizeof text);
  const char* at = strstr(text, what);
  CHECK(at != nullptr);
  return strtol(at + strlen(what), nullptr, 10);
}

}  // namespace

GUEST_PROPERTY(locked_memory_costs_little) {
  if (is_sanitized()) skip("a sanitizer has gigabytes of address space");
  int buffered = pattern_file(8192), direct = pattern_file(8192, O_DIRECT);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) skip("memory cannot be locked here");
  // VmRSS: all that is locked is there. VmLck has glibc's heap of a thread too (64 MiB of PROT_NONE, by malloc in
  // pthread_create), of which nothing is there, and without which malloc goes on where RLIMIT_MEMLOCK does not allow
  // it.
  const long before = status_kb("VmRSS:");
  use_each_interface(buffered, direct);
  const long taken = status_kb("VmRSS:") - before;
  printf("%ld KiB locked for it\n", taken);
  if (is_answered_by_aiox() && taken > 4096) FAIL("%ld KiB are locked for a few requests", taken);
}

GUEST_PROPERTY(a_little_address_space_is_enough) {
  if (is_sanitized()) skip("a sanitizer has gigabytes of address space");
  int buffered = pattern_file(8192), direct = pattern_file(8192, O_DIRECT);
  const rlim_t bytes = static_cast<rlim_t>(status_kb("VmSize:")) << 10;
  rlimit limit{};
  CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
  limit.rlim_cur = bytes + (32 << 20);
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
  use_each_interface(buffered, direct);
  // Most of it is the program's still.
  void* rest = mmap(nullptr, 24 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (is_answered_by_aiox()) CHECK(rest != MAP_FAILED);
}
