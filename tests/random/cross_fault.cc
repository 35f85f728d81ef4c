#include "cross_fault.h"

#include <fcntl.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace cross {

namespace {

constexpr unsigned kMapsMax = 512;
constexpr unsigned kReturnsMax = 40;
constexpr size_t kLineMax = 400;

struct Map {
  uintptr_t begin, end, offset;
  bool is_code;
  char name[80];
};

Map g_maps[kMapsMax];
unsigned g_map_count = 0;

void note_map(const char* line) {
  Map& map = g_maps[g_map_count];
  char rights[8] = {};
  map.name[0] = '\0';
  if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %79s", &map.begin, &map.end, rights, &map.offset, map.name) < 4) return;
  map.is_code = rights[2] == 'x';
  if (g_map_count + 1 < kMapsMax) ++g_map_count;
}

void read_maps() {
  const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  char line[kLineMax];
  size_t length = 0;
  for (char letter; fd >= 0 && read(fd, &letter, 1) == 1;) {
    if (letter != '\n' && length + 1 < sizeof line) {
      line[length++] = letter;
      continue;
    }
    line[length] = '\0';
    if (letter == '\n') note_map(line), length = 0;
  }
  if (fd >= 0) close(fd);
}

const Map* map_of(uintptr_t address) {
  for (unsigned i = 0; i < g_map_count; ++i) {
    if (address >= g_maps[i].begin && address < g_maps[i].end) return &g_maps[i];
  }
  return nullptr;
}

void tell(const char* what, uintptr_t address) {
  const Map* map = map_of(address);
  char text[kLineMax];
  const int length = map == nullptr ? snprintf(text, sizeof text, "%s %#lx, where nothing is\n", what, address)
                                    : snprintf(text, sizeof text, "%s %#lx, %s+%#lx\n", what, address, map->name,
                                               address - map->begin + map->offset);
  [[maybe_unused]] const ssize_t ignored = write(2, text, static_cast<size_t>(length));
}

void on_fault(int signo, siginfo_t* info, void* context) {
  const mcontext_t& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  const auto at = static_cast<uintptr_t>(machine.gregs[REG_RIP]);
  const auto stack = static_cast<uintptr_t>(machine.gregs[REG_RSP]);
#elif defined(__aarch64__)
  const auto at = static_cast<uintptr_t>(machine.pc);
  const auto stack = static_cast<uintptr_t>(machine.sp);
#endif
  read_maps();
  tell("a child of a handler: fault at instruction", at);
  tell("  of address", reinterpret_cast<uintptr_t>(info->si_addr));
  const Map* map = map_of(stack);
  unsigned told = 0;
  for (uintptr_t word = stack & ~uintptr_t{7}; map != nullptr && word + 8 <= map->end && told < kReturnsMax;
       word += 8) {
    uintptr_t value;
    memcpy(&value, reinterpret_cast<void*>(word), sizeof value);
    const Map* code = map_of(value);
    if (code == nullptr || !code->is_code) continue;
    tell("  on the stack", value);
    ++told;
  }
  signal(signo, SIG_DFL);  // the instruction is tried again
}

}  // namespace

void tell_faults() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
  sigset_t faults;  // the handler that forked holds them off
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  sigaddset(&faults, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &faults, nullptr);
}

}  // namespace cross
