// threads.cc - how many threads there are, and when: none before the first request, few afterwards, none needed; not
// even the first.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "guest.h"
#include "seccomp_filter.h"

using namespace guest;

namespace {

std::string mapped_names() {
  std::string text;
  FILE* maps = fopen("/proc/self/maps", "r");
  CHECK(maps != nullptr);
  char line[1024], last[1024] = "";
  while (fgets(line, sizeof line, maps)) {
    const char* name = strchr(line, '/');
    if (!name) name = strstr(line, "anon_inode");
    if (name && strcmp(name, last) != 0) text += name, strcpy(last, name);
  }
  fclose(maps);
  return text;
}

unsigned anonymous_mappings() {
  FILE* maps = fopen("/proc/self/maps", "r");
  CHECK(maps != nullptr);
  char line[1024];
  unsigned count = 0;
  while (fgets(line, sizeof line, maps)) count += strchr(line, '/') == nullptr && strchr(line, '[') == nullptr;
  fclose(maps);
  return count;
}

}  // namespace

// Not for CTest by itself: what the next property runs with and without the library.
GUEST_PROPERTY(report_what_a_process_without_aio_has) {
  usleep(20000);
  printf("threads %u\ndescriptors %s\nmappings %u\n%s", thread_count(), descriptor_table().c_str(),
         anonymous_mappings(), mapped_names().c_str());
}

GUEST_PROPERTY(a_program_without_aio_gets_nothing_but_the_library) {
  const char* preload = getenv("LD_PRELOAD");
  if (!preload) skip("only with LD_PRELOAD");
  std::string plain, guested, errors;
  const char* report = "report_what_a_process_without_aio_has";
  CHECK(run_again(report, {"LD_PRELOAD=", "AIOX_TEST_AGAINST=glibc"}, &plain, &errors) == 0);
  CHECK(run_again(report, {"AIOX_VERBOSE=1"}, &guested, &errors) == 0);
  if (!errors.empty()) FAIL("something was printed: %s", errors.c_str());
  auto line = [](const std::string& text, const char* key) {
    size_t at = text.find(key);
    CHECK(at != std::string::npos);
    return text.substr(at, text.find('\n', at) - at);
  };
  CHECK(line(guested, "threads ") == "threads 1");
  if (line(guested, "descriptors ") != line(plain, "descriptors "))
    FAIL("with aiox: %s, without: %s", line(guested, "descriptors ").c_str(), line(plain, "descriptors ").c_str());
  // Each mapped file of the one is also one of the other's, but for the library and what maps its name.
  for (size_t at = guested.find('/'); at != std::string::npos; at = guested.find('/', guested.find('\n', at))) {
    std::string name = guested.substr(at, guested.find('\n', at) - at);
    if (plain.find(name) == std::string::npos && name.find("libaiox") == std::string::npos)
      FAIL("mapped only with aiox: %s", name.c_str());
  }
  // The library's own data, and nothing it asked the kernel for: a ring or a pool would be more.
  long more = atol(line(guested, "mappings ").c_str() + 9) - atol(line(plain, "mappings ").c_str() + 9);
  if (more > 1) FAIL("%ld more anonymous mappings with aiox", more);
}

GUEST_PROPERTY(at_most_one_service_thread_stays_when_idle) {
  CHECK(thread_count() == 1);
  Load load(64, 8);
  for (unsigned i = 0; i < 5; ++i) {
    load.submit();
    load.finish();
  }
  unsigned during = thread_count();
  unsigned waited_ms = 0;
  while (thread_count() > 2 && waited_ms < (is_sanitized() ? 20000 : 5000)) {
    sleep_ms(50);
    waited_ms += 50;
  }
  printf("%u threads after the burst, %u after %u ms\n", during, thread_count(), waited_ms);
  // The program's, at most one of the service, and with a sanitizer its own.
  if (thread_count() > 2u + is_sanitized()) FAIL("%u threads are left", thread_count());
  load.submit();
  load.finish();
}

GUEST_PROPERTY(bursts_after_idle_times_do_not_add_threads) {
  unsigned highest = 0, first = 0;
  for (unsigned i = 0; i < 6; ++i) {
    Load load(64, 4);
    load.submit();
    unsigned count = thread_count();
    if (i == 0) first = count;
    highest = std::max(highest, count);
    load.finish();
    sleep_ms(i % 2 ? 1200 : 100);
  }
  printf("at most %u threads, %u in the first burst\n", highest, first);
  CHECK(highest < 200);
}

namespace {

// All of it either completes or is refused with EAGAIN; nothing hangs (the alarm would end the test).
void use_aio_without_new_threads(int fd) {
  std::vector<std::unique_ptr<Request>> requests;
  unsigned accepted = 0;
  for (unsigned i = 0; i < 64; ++i) {
    auto request = std::make_unique<Request>();
    request->block = {};
    request->block.aio_fildes = fd;
    request->block.aio_offset = off_t(i % 16) * 4096;
    request->block.aio_buf = request->buffer;
    request->block.aio_nbytes = request->size_bytes;
    request->block.aio_sigevent.sigev_notify = SIGEV_NONE;
    int result = aio_read(&request->block);
    if (result != 0) {
      CHECK(errno == EAGAIN);
      continue;
    }
    ++accepted;
    requests.push_back(std::move(request));
  }
  for (auto& request : requests) {
    request->wait_for_all();
    request->check_pattern();
  }
  // Polled only, without a thread that waits and could do the work itself.
  Request polled;
  polled.block.aio_fildes = fd;
  polled.block.aio_buf = polled.buffer;
  polled.block.aio_nbytes = polled.size_bytes;
  polled.block.aio_sigevent.sigev_notify = SIGEV_NONE;
  int result = aio_read(&polled.block);
  CHECK(result == 0 || errno == EAGAIN);
  for (unsigned i = 0; result == 0 && !polled.is_done(); ++i) {
    sleep_ms(1);
    if (i > 20000) FAIL("an accepted request does not end when nobody waits for it");
  }
  printf("%u of 64 accepted\n", accepted);
  fflush(stdout);
}

}  // namespace

GUEST_PROPERTY(aio_never_hangs_when_the_kernel_refuses_threads) {
  int fd = pattern_file(64 * 1024);
  expect_clean_exit(fork_child([&] {
    if (!refuse_system_calls({SYS_clone, SYS_clone3, SYS_fork, SYS_vfork}, EAGAIN)) skip("no seccomp filters here");
    use_aio_without_new_threads(fd);
  }));
  // The same when the pool had threads before, which may all retire.
  expect_clean_exit(fork_child([&] {
    use_aio_a_little();
    if (!refuse_system_calls({SYS_clone, SYS_clone3, SYS_fork, SYS_vfork}, EAGAIN)) skip("no seccomp filters here");
    use_aio_without_new_threads(fd);
    sleep_ms(2500);
    use_aio_without_new_threads(fd);
  }));
}

GUEST_PROPERTY(aio_never_hangs_at_the_limit_of_processes) {
  int fd = pattern_file(64 * 1024);
  expect_clean_exit(fork_child([&] {
    // The limit does not bind root.
    if (getuid() == 0) CHECK(setgid(65533) == 0 && setuid(65533) == 0);
    rlimit limit{1, 1};
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    use_aio_without_new_threads(fd);
  }));
}

GUEST_PROPERTY(requests_with_callbacks_end_without_threads) {
  int fd = pattern_file(64 * 1024);
  expect_clean_exit(fork_child([&] {
    if (!refuse_system_calls({SYS_clone, SYS_clone3, SYS_fork, SYS_vfork}, EAGAIN)) skip("no seccomp filters here");
    Request request;
    request.block.aio_fildes = fd;
    request.block.aio_buf = request.buffer;
    request.block.aio_nbytes = request.size_bytes;
    request.block.aio_sigevent.sigev_notify = SIGEV_THREAD;
    request.block.aio_sigevent.sigev_notify_function = [](sigval) {};
    int result = aio_read(&request.block);
    CHECK(result == 0 || errno == EAGAIN);
    if (result == 0) request.wait_for_all();
  }));
}

namespace {

// In a child: its first thread ends, another leaves the common table, and this one has not left it.
void* work_without_first_thread(void*) {
  char state[64] = {};
  for (int fd; strstr(state, ") Z") == nullptr; sched_yield()) {
    CHECK((fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC)) >= 0 && read(fd, state, sizeof state - 1) > 0);
    close(fd);
  }
  pthread_t thread;
  auto leave = [](void*) -> void* {
    CHECK(unshare(CLONE_FILES) == 0);
    return nullptr;
  };
  CHECK(pthread_create(&thread, nullptr, leave, nullptr) == 0 && pthread_join(thread, nullptr) == 0);
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  Request waiting(8), closed(8);
  waiting.read(ends[0], 0);
  CHECK(write(ends[1], "received", 8) == 8);
  waiting.wait_for_all();
  closed.read(ends[0], 0);
  close(ends[0]);
  CHECK(closed.wait() == ECANCELED);
  _exit(0);
}

}  // namespace

GUEST_PROPERTY(threads_share_their_table_still_when_the_first_thread_has_ended) {
  if (!is_answered_by_aiox()) skip("the C library does not hold this property");
  const pid_t child = fork();
  if (child == 0) {
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, work_without_first_thread, nullptr) == 0);
    syscall(SYS_exit, 0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  if (status != 0) FAIL("the child ended with status 0x%x", unsigned(status));
}

GUEST_PROPERTY(functions_beyond_the_limit_of_threads_run_when_one_returns) {
  if (!is_answered_by_aiox()) skip("the C library has a thread for each");
  setenv("AIOX_NOTIFIERS_MAX", "2", 1);
  static std::atomic<unsigned> running, returned;
  static std::atomic<bool> may_return;
  const int fd = load_file(false);
  Request requests[5];
  for (Request& request : requests) {
    request.block = {};
    request.block.aio_fildes = fd;
    request.block.aio_buf = request.buffer;
    request.block.aio_nbytes = 512;
    request.block.aio_sigevent.sigev_notify = SIGEV_THREAD;
    request.block.aio_sigevent.sigev_notify_function = [](sigval) {
      ++running;
      while (!may_return) sleep_ms(1);
      ++returned;
    };
    CHECK(aio_read(&request.block) == 0);
  }
  for (Request& request : requests) CHECK(request.wait() == 0);  // whatever becomes of the functions
  while (running != 2) sleep_ms(1);
  sleep_ms(50);
  CHECK(running == 2);
  may_return = true;
  while (returned != 5) sleep_ms(1);
}
