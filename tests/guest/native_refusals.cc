// native_refusals.cc - what a system may refuse, for programs of libaio: io_uring, the kernel's native AIO itself,
// threads, descriptors, memory. I/O of every kind goes on, and whoever takes its events by calls, from the ring's
// memory or at the word of an eventfd gets them; what cannot be had is refused as io_setup and io_submit refuse.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "control_group.h"
#include "native.h"
#include "seccomp_filter.h"

using namespace guest;

namespace {

const std::initializer_list<long> kIoUring = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};
const std::initializer_list<long> kNativeAio = {SYS_io_setup, SYS_io_submit, SYS_io_getevents, SYS_io_pgetevents,
                                                SYS_io_cancel, SYS_io_destroy};
const std::initializer_list<long> kBoth = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_setup,
                                           SYS_io_submit, SYS_io_getevents, SYS_io_pgetevents, SYS_io_cancel,
                                           SYS_io_destroy};
const std::initializer_list<long> kThreads = {SYS_clone, SYS_clone3, SYS_fork, SYS_vfork};

void need_aiox() {
  if (!is_answered_by_aiox()) skip("what is refused is the kernel's native AIO itself");
}

void refuse(std::initializer_list<long> calls, int error) {
  if (!refuse_system_calls(calls, error)) skip("no seccomp filters here");
}

void wait_for_a_stream(const NativeFiles& files) {
  NativeContext context(1);
  NativeRequest stream(8);
  context.submit(stream.read(files.read_end, 0));
  sleep_ms(20);
  CHECK(write(files.write_end, "0123456", 8) == 8);
  context.finish();
}

// Refused from the beginning, and in the middle of loads whose events are taken in each way.
void work_where_refused(std::initializer_list<long> calls, std::initializer_list<int> errors) {
  need_aiox();
  NativeFiles files;
  load_file(false);
  for (int error : errors) {
    expect_clean_exit(fork_child([&] {
      refuse(calls, error);
      for (int i = 0; i < 2; ++i) use_native_files(files);
    }));
    for (Reap way : kEveryWay)
      expect_clean_exit(fork_child([&] {
        NativeLoad load(32, 2, way);
        load.submit();
        refuse(calls, error);
        load.finish();
        for (int i = 0; i < 3; ++i) {
          load.submit();
          load.finish();
        }
      }));
  }
}

}  // namespace

GUEST_PROPERTY(native_aio_works_where_io_uring_is_not_permitted) { work_where_refused(kIoUring, {EPERM, ENOSYS}); }
GUEST_PROPERTY(native_aio_works_where_the_kernels_is_not_permitted) { work_where_refused(kNativeAio, {EPERM, ENOSYS}); }
GUEST_PROPERTY(native_aio_works_where_only_io_submit_is_not_permitted) { work_where_refused({SYS_io_submit}, {EPERM}); }
GUEST_PROPERTY(native_aio_works_where_only_io_pgetevents_is_not_permitted) {
  work_where_refused({SYS_io_pgetevents, SYS_io_getevents}, {EPERM, ENOSYS});
}
GUEST_PROPERTY(native_aio_works_where_neither_is_permitted) { work_where_refused(kBoth, {EPERM, ENOSYS}); }

GUEST_PROPERTY(native_aio_never_hangs_when_the_kernel_refuses_threads) {
  need_aiox();
  NativeFiles files;
  for (bool has_begun_before : {false, true})
    expect_clean_exit(fork_child([&] {
      if (has_begun_before) use_native_aio_a_little();
      refuse(kThreads, EAGAIN);
      use_native_files(files, true);
      if (has_begun_before) sleep_ms(1500);  // what threads there were have retired
      use_native_files(files, true);
    }));
}

GUEST_PROPERTY(native_aio_never_hangs_at_the_limit_of_processes) {
  if (getuid() != 0) skip("needs root, to become a user with no processes of its own");
  NativeFiles files;
  const int growing = pattern_file(4096, O_DIRECT);
  for (bool has_begun_before : {false, true})
    expect_clean_exit(fork_child([&] {
      if (has_begun_before) wait_for_a_stream(files);  // in a ring
      CHECK(setgid(65531) == 0 && setuid(65530) == 0);
      rlimit limit{1, 1};
      CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
      use_native_files(files, true);
      // A ring that is there already drops, ECANCELED, what it finds no thread of the kernel's for.
      for (unsigned i = 0; growing >= 0 && i < 4; ++i) {
        NativeContext context(1);
        NativeRequest write;
        write.fill('w');
        context.submit(write.write(growing, (i + 1) * 4096));
        context.finish();
        write.expect_all();
      }
    }));
  if (growing >= 0) close(growing);
}

GUEST_PROPERTY(native_aio_works_in_a_control_group_without_room_for_threads) {
  NativeFiles files;
  auto group = std::make_unique<ControlGroup>("pids");
  pid_t child = fork_child([&] {
    group->take_in_this_process();
    CHECK(group->set("pids.max", "1"));
    use_native_files(files, true);
  });
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  group.reset();
  if (status != 0) FAIL("wait status %x", unsigned(status));
}

GUEST_PROPERTY(native_aio_works_with_no_memory_to_lock) {
  NativeFiles files;
  // The limit does not bind root.
  if (getuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
  rlimit limit{0, 0};
  CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  use_native_files(files);
}

namespace {

long virtual_bytes() {
  char text[128] = {};
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
  close(fd);
  return atol(text) * 4096;
}

// Each accepted request ends with its data. How much was refused, of 3 rounds of 32 and their contexts.
unsigned end_or_be_refused(const NativeFiles& files, NativeRequests& requests) {
  unsigned refused = 0;
  for (unsigned round = 0; round < 3; ++round) {
    aio_context_t context = 0;
    long error = native_setup(64, &context);
    if (error != 0) {
      if (error != -EAGAIN && error != -ENOMEM) FAIL("io_setup: %s", strerror(int(-error)));
      refused += 32;
      continue;
    }
    std::vector<NativeRequest*> accepted;
    for (unsigned i = 0; i < requests.size(); ++i) {
      NativeRequest& request = *requests[i];
      if (i % 3 == 2) request.write(files.written, i * 4096);
      else request.read(i % 3 && files.direct >= 0 ? files.direct : files.buffered, i * 4096);
      request.block.aio_data = i;
      iocb* list[] = {&request.block};
      error = native_submit(context, 1, list);
      if (error == 1) {
        accepted.push_back(&request);
        continue;
      }
      if (error != -EAGAIN && error != -ENOMEM) FAIL("io_submit: %ld", error);
      ++refused;
    }
    for (size_t ended = 0; ended < accepted.size();) {
      io_event events[8];
      long count = native_events(context, 1, 8, events, nullptr);
      if (count < 1) FAIL("io_getevents: %ld", count);
      for (long i = 0; i < count; ++i, ++ended) {
        NativeRequest& request = *requests[events[i].data];
        request.is_over = true;
        request.result = events[i].res;
      }
    }
    for (NativeRequest* request : accepted) {
      request->expect_all();
      if (request->block.aio_lio_opcode == IOCB_CMD_PREAD) request->check_pattern();
    }
    CHECK(native_destroy(context) == 0);
  }
  return refused;
}

}  // namespace

GUEST_PROPERTY(native_aio_ends_or_is_refused_without_address_space) {
  if (is_sanitized()) skip("a sanitizer needs the address space");
  NativeFiles files;
  for (long spare_pages : {0L, 1L, 4L, 16L, 64L, 256L, 1024L, 4096L, 8192L, 16384L, 32768L, 65536L, 131072L}) {
    expect_clean_exit(fork_child([&] {
      NativeRequests requests = native_requests(32);
      rlimit limit{};
      limit.rlim_cur = limit.rlim_max = rlim_t(virtual_bytes() + spare_pages * 4096);
      CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
      unsigned refused = end_or_be_refused(files, requests);
      printf("%ld pages to spare: %u of 96 refused\n", spare_pages, refused);
      fflush(stdout);
      // The pools for AIOX_EVENTS_MAX requests are one mapping.
      if (spare_pages >= 131072 && refused > 0) FAIL("%u refused with %ld pages to spare", refused, spare_pages);
    }));
  }
}

namespace {

// Many contexts at a time, each with as many requests in flight as it was made for.
void fill_contexts(unsigned count) {
  constexpr unsigned kEvents = 4;
  int fds[] = {load_file(false), load_file(true) >= 0 ? load_file(true) : load_file(false)};
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  const bool has_pipe = is_answered_by_aiox();
  std::vector<std::unique_ptr<NativeContext>> contexts;
  std::vector<NativeRequests> requests;
  drop_cache(fds[0]);
  for (unsigned c = 0; c < count; ++c) {
    contexts.push_back(std::make_unique<NativeContext>(kEvents, c % 3 == 1   ? Reap::kReadsRing
                                                                : c % 3 == 2 ? Reap::kPolls
                                                                             : Reap::kWaits));
    requests.push_back(native_requests(kEvents, 512));
    for (unsigned i = 0; i < kEvents; ++i)
      if (i == 3 && has_pipe) requests[c][i]->read(ends[0], 0);
      else requests[c][i]->read(fds[i % 2], random_below(kLoadFileBytes / 512) * 512);
    contexts[c]->submit(requests[c]);
  }
  std::string text(512, 'p');
  // Not all at once: the pipe takes 64 KiB.
  for (unsigned c = 0; c < count; ++c) {
    if (has_pipe) CHECK(write(ends[1], text.data(), 512) == 512);
    if (c % 64 == 63 || c + 1 == count)
      for (unsigned done = c / 64 * 64; done <= c; ++done) contexts[done]->finish();
  }
  for (unsigned c = 0; c < count; ++c)
    for (unsigned i = 0; i < kEvents; ++i) {
      requests[c][i]->expect_all();
      if (i == 3 && has_pipe) CHECK(requests[c][i]->buffer[511] == 'p');
      else requests[c][i]->check_pattern();
    }
  close(ends[0]);
  close(ends[1]);
}

int g_setting = -1;
char g_setting_before[32];

// With a setting of the whole system, which comes back whatever happens there.
void run_with_setting(const char* name, const char* value, const char* property, const char* expected) {
  g_setting = open(name, O_RDWR | O_CLOEXEC);
  if (g_setting < 0 || read(g_setting, g_setting_before, sizeof g_setting_before - 1) <= 0)
    skip("needs root, and that setting");
  auto set = [](const char* text) { return pwrite(g_setting, text, strlen(text), 0) > 0; };
  struct sigaction action {};
  action.sa_handler = [](int) {
    bool is_restored = pwrite(g_setting, g_setting_before, strlen(g_setting_before), 0) > 0;
    _exit(is_restored ? 1 : 2);
  };
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGALRM}) sigaction(number, &action, nullptr);
  if (!set(value)) skip("the setting cannot be changed here");
  pid_t child = fork_child([&] {
    std::string output, errors;
    signal(SIGALRM, SIG_DFL);
    int status = run_again(property, {"AIOX_VERBOSE=1"}, &output, &errors);
    printf("%s%s", output.c_str(), errors.c_str());
    if (status == 77) _exit(77);
    if (status != 0) FAIL("%s: status %d: %s", property, status, errors.c_str());
    if (expected != nullptr && errors.find(expected) == std::string::npos)
      FAIL("%s is not named: %s", expected, errors.c_str());
  }, is_sanitized() ? 100 : 20);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  bool is_restored = set(g_setting_before);
  CHECK(is_restored);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) _exit(77);
  if (status != 0) FAIL("wait status %x", unsigned(status));
}

bool is_auto() {
  const char* backend = getenv("AIOX_BACKEND");
  return backend == nullptr || strcmp(backend, "auto") == 0;
}

}  // namespace

// The kernel's io_destroy takes its time.
GUEST_PROPERTY(native_contexts_by_the_thousand) {
  fill_contexts(is_sanitized() || !is_answered_by_aiox() ? 200 : 2500);
}

// Not for CTest by itself: what properties here run again.
GUEST_PROPERTY(native_aio_works_as_it_is) {
  NativeFiles files;
  use_native_files(files);
  fill_contexts(is_answered_by_aiox() ? 2000 : 100);
}

// CTest runs these two alone.
GUEST_PROPERTY(native_aio_works_where_aio_max_nr_is_used_up) {
  need_aiox();
  run_with_setting("/proc/sys/fs/aio-max-nr", "0\n", "native_aio_works_as_it_is", is_auto() ? "aio-max-nr" : nullptr);
}

GUEST_PROPERTY(native_aio_works_where_io_uring_is_disabled_by_sysctl) {
  run_with_setting("/proc/sys/kernel/io_uring_disabled", "2\n", "native_aio_works_as_it_is", nullptr);
}

GUEST_PROPERTY(native_setup_is_refused_when_the_events_are_used_up) {
  need_aiox();
  CHECK(setenv("AIOX_EVENTS_MAX", "1000", 1) == 0);
  aio_context_t context = 0;
  CHECK(native_setup(1001, &context) == -EAGAIN && context == 0);
  auto kept = std::make_unique<NativeContext>(1000);
  CHECK(native_setup(1, &context) == -EAGAIN && context == 0);
  // What was promised can be had.
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  NativeRequests requests = native_requests(1000, 8);
  for (auto& request : requests) request->read(ends[0], 0);
  kept->submit(requests);
  for (unsigned i = 0; i < 1000; ++i) CHECK(write(ends[1], "01234567", 8) == 8);
  kept->finish();
  for (auto& request : requests) request->expect_all();
  kept.reset();
  for (unsigned i = 0; i < 10; ++i) kept = nullptr, kept = std::make_unique<NativeContext>(900);
  use_native_aio_a_little();
}
