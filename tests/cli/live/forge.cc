// forge.cc - forge PROCESS NAME [PLACES]: statistics that say they are of PROCESS, which is another user's. PLACES that
// the segment has: more than any program makes. Prints "ready PID" and stays.
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "stats/segment.h"

using namespace aiox::stats;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto places = static_cast<uint32_t>(argc > 3 ? strtoul(argv[3], nullptr, 0) : 2);
  const int id = shmget(IPC_PRIVATE, segment_bytes(places), IPC_CREAT | SHM_NORESERVE | 0600);
  void* address = shmat(id, nullptr, 0);
  shmctl(id, IPC_RMID, nullptr);
  if (id < 0 || address == reinterpret_cast<void*>(-1)) return perror("forge"), 1;
  auto* header = static_cast<SegmentHeader*>(address);
  begin_segment(header, places, 1);
  header->taken.store(~0u);
  ProcessFigures* figures = figures_of(header, 0);
  figures->process_id = atoi(argv[1]);
  figures->begin_boot_ns = ~uint64_t{0} - 1'000'000'000;
  memset(figures->name, 'x', sizeof figures->name);  // no end
  memcpy(figures->name, argv[2], strnlen(argv[2], sizeof figures->name));
  figures->threads[0].owner.store(1);
  figures->threads[0].served[0][0].operations.store(123456789);
  figures->is_live.store(1);
  printf("ready %d\n", getpid());
  fflush(stdout);
  pause();
}
