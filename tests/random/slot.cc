// slot.cc - see slot.h. The signal handler and the SIGEV_THREAD callback live here; both only read the block's status
// and count. What they find wrong is kept in an atomic, since a handler may not print; the driver looks at it.
#include "slot.h"

#include <cerrno>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "options.h"
#include "rng.h"
#include "target.h"

namespace random_driver {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kGuardBytes = 64;
constexpr unsigned char kGuardByte = 0xc7;
constexpr unsigned char kPoisonByte = 0xa5;
constexpr uint64_t kGuardWord = 0x6775617264676472ull;
constexpr int kAddressBits = 48;

std::atomic<uint64_t> g_notices{0};
std::atomic<pid_t> g_taker{0};

// A handler in any thread, as programs have it, is what finds interrupted calls. Two cannot do with it: the C library's
// LIO_WAIT leaves list nodes on a dead stack when a signal interrupts it; and ThreadSanitizer postpones handlers and
// keeps one signal of each number meanwhile, so that queued ones are lost. They get a thread in sigtimedwait; with the
// sanitizer the signals are directed at it (SIGEV_THREAD_ID), since threads of callbacks take signals too.
#ifdef __SANITIZE_THREAD__
constexpr bool kIsPostponed = true;
#else
constexpr bool kIsPostponed = false;
#endif

bool all_are(const unsigned char* bytes, unsigned char value, size_t count) {
  return count == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, count - 1) == 0);
}

// In a handler nothing can be printed through stdio; the message is written directly.
void fail_in_handler(const char* what) {
  char text[160] = "FAILED: notification: ";
  strncat(text, what, 100);
  strcat(text, "\n");
  [[maybe_unused]] ssize_t ignored = write(2, text, strlen(text));
  _exit(1);
}

sigval pack(Notice* notice) {
  uint64_t generation = notice->generation.load(std::memory_order_relaxed) & 0xffff;
  sigval value;
  value.sival_ptr = reinterpret_cast<void*>(reinterpret_cast<uint64_t>(notice) | generation << kAddressBits);
  return value;
}

void notice_came(sigval value, bool is_callback) {
  auto packed = reinterpret_cast<uint64_t>(value.sival_ptr);
  auto* notice = reinterpret_cast<Notice*>(packed & ((1ull << kAddressBits) - 1));
  if ((notice->generation.load(std::memory_order_acquire) & 0xffff) != packed >> kAddressBits)
    fail_in_handler("late or second one: the request it belongs to has ended before");
  // The result is visible before the signal is. The C library's aio_error takes a lock and is not for handlers.
  if (is_callback || g_options.answered_by_aiox)
    for (int i = 0; i < notice->block_count; ++i)
      if (notice->blocks[i] && aio_error(notice->blocks[i]) == EINPROGRESS)
        fail_in_handler("came before the request had ended");
  g_notices.fetch_add(1, std::memory_order_relaxed);
  if (notice->came.fetch_add(1, std::memory_order_acq_rel) != 0) fail_in_handler("came twice");
}

void on_signal(int, siginfo_t* info, void*) {
  int saved = errno;
  if (info->si_code != SI_ASYNCIO) fail_in_handler("si_code is not SI_ASYNCIO");
  if (info->si_pid != getpid() || info->si_uid != getuid()) fail_in_handler("si_pid or si_uid is not ours");
  notice_came(info->si_value, false);
  errno = saved;
}

void on_callback(sigval value) { notice_came(value, true); }

}  // namespace

uint64_t notices_seen() { return g_notices.load(std::memory_order_relaxed); }

bool prepare_signals() {
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGRTMIN + 4, &action, nullptr);
  if (!kIsPostponed && g_options.answered_by_aiox) return false;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN + 4);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return true;
}

bool has_taker() { return g_taker.load() != 0; }

void take_signals(const std::atomic<bool>& is_over) {
  g_taker.store(gettid());
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN + 4);
  while (!is_over.load()) {
    siginfo_t info;
    timespec timeout{0, 50 * 1000 * 1000};
    if (sigtimedwait(&signals, &info, &timeout) > 0) on_signal(0, &info, nullptr);
  }
}

void set_notification(sigevent* event, Method method, Notice* notice, bool plain_variant) {
  memset(event, 0, sizeof *event);
  switch (method) {
    case Method::kPoll:
    case Method::kSuspend:
      // All zero is SIGEV_SIGNAL with signal 0: nothing is to be sent, either.
      if (!plain_variant) event->sigev_notify = SIGEV_NONE;
      break;
    case Method::kSignal:
      event->sigev_notify = SIGEV_SIGNAL;
      event->sigev_signo = SIGRTMIN + 4;
      event->sigev_value = pack(notice);
      if (kIsPostponed) {
        event->sigev_notify = SIGEV_THREAD_ID;
        event->_sigev_un._tid = g_taker.load();
      }
      break;
    case Method::kThread:
      event->sigev_notify = SIGEV_THREAD;
      event->sigev_notify_function = on_callback;
      event->sigev_value = pack(notice);
      break;
  }
}

void slot_create(Slot* slot) {
  void* memory = mmap(nullptr, kBufferMax + 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap of a buffer: %s", strerror(errno));
  slot->arena = static_cast<unsigned char*>(memory);
  for (uint64_t& word : slot->guard_front) word = kGuardWord;
  for (uint64_t& word : slot->guard_back) word = kGuardWord;
  slot->self = &slot->block;
  slot->notice.blocks = &slot->self;
  slot->notice.block_count = 1;
}

void slot_prepare(Slot* slot, size_t size_bytes, size_t misalignment) {
  if (slot->is_poisoned) {
    if (!all_are(reinterpret_cast<unsigned char*>(&slot->block), kPoisonByte, sizeof slot->block))
      fail("control block written after its request had ended: %s", slot->describe().c_str());
    if (slot->has_buffer() && !all_are(slot->buffer, kPoisonByte, slot->size_bytes))
      fail("buffer written after its request had ended: %s", slot->describe().c_str());
  }
  memset(&slot->block, 0, sizeof slot->block);
  slot->is_poisoned = false;
  slot->size_bytes = size_bytes;
  slot->buffer = slot->arena + kPage + misalignment;
  memset(slot->buffer - kGuardBytes, kGuardByte, kGuardBytes);
  memset(slot->buffer + size_bytes, kGuardByte, kGuardBytes);
  slot->notice.came.store(0, std::memory_order_relaxed);
  // Release: a handler that finds this generation sees the block as it was made above.
  slot->notice.generation.fetch_add(1, std::memory_order_release);
  slot->cancel_attempted = false;
  slot->group = nullptr;
  slot->expectation.stretches.clear();
}

void slot_retire(Slot* slot) {
  for (uint64_t word : slot->guard_front)
    if (word != kGuardWord) fail("memory before the control block written: %s", slot->describe().c_str());
  for (uint64_t word : slot->guard_back)
    if (word != kGuardWord) fail("memory after the control block written: %s", slot->describe().c_str());
  if (!all_are(slot->buffer - kGuardBytes, kGuardByte, kGuardBytes))
    fail("memory before the buffer written: %s", slot->describe().c_str());
  if (!all_are(slot->buffer + slot->size_bytes, kGuardByte, kGuardBytes))
    fail("memory after the buffer written: %s", slot->describe().c_str());
  // From here a notification of this request would be a second one.
  slot->notice.generation.fetch_add(1, std::memory_order_release);
  memset(&slot->block, kPoisonByte, sizeof slot->block);
  if (slot->has_buffer()) memset(slot->buffer, kPoisonByte, slot->size_bytes);
  slot->is_poisoned = true;
}

// Also called for the slots of other threads when nothing moves any more.
__attribute__((no_sanitize("thread"))) std::string Slot::describe() const {
  static const char* const kOperations[] = {"read", "write", "append", "fsync", "stream read", "stream write"};
  static const char* const kMethods[] = {"poll", "suspend", "signal", "thread"};
  char text[320];
  snprintf(text, sizeof text, "%s [%llu,+%zu) on %s fd %d (thread %u, plan %llu, call %llu, write %u, by %s%s%s)",
           kOperations[int(operation)], static_cast<unsigned long long>(offset), size_bytes,
           target ? target->name.c_str() : "?", target ? target->fd : -1, thread,
           static_cast<unsigned long long>(plan_index), static_cast<unsigned long long>(order), write_id,
           kMethods[int(method)], group ? ", in a list" : "", cancel_attempted ? ", cancel tried" : "");
  return text;
}

}  // namespace random_driver
