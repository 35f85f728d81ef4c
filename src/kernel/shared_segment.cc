// shared_segment.cc - makes, attaches and detaches System V shared memory.
//
// Owns nothing: a segment belongs to its caller. Thread: any. Blocks: no.
// Never makes a segment unless it may mark one for removal, and attaches only those of its own user or of root.
#include "kernel/shared_segment.h"

#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include <cerrno>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {

int attach(long id, size_t size_bytes, SharedSegment* segment) {
  const long address = raw_syscall(SYS_shmat, id, 0, 0);
  if (address < 0 && address > -4096) return static_cast<int>(address);
  segment->address = reinterpret_cast<void*>(address);
  segment->size_bytes = size_bytes;
  // A child must neither keep it alive nor be found in it. If the kernel refuses, it does both until it ends or execs.
  raw_syscall(SYS_madvise, address, static_cast<long>(size_bytes), MADV_DONTFORK);
  return 0;
}

}  // namespace

int make_shared_segment(size_t size_bytes, SharedSegment* segment, const char** step) {
  // shmctl must not be refused later: a segment that is attached but not marked for removal outlives all its processes.
  // For an identifier that does not exist an allowed call answers -EINVAL.
  *step = "shmctl";
  const long allowed = raw_syscall(SYS_shmctl, -1, IPC_RMID, 0);
  if (allowed != -EINVAL) return allowed < 0 ? static_cast<int>(allowed) : -EINVAL;
  // Without SHM_NORESERVE pages that are never touched would count as committed memory.
  *step = "shmget";
  const long id = raw_syscall(SYS_shmget, IPC_PRIVATE, static_cast<long>(size_bytes), IPC_CREAT | SHM_NORESERVE | 0600);
  if (id < 0) return static_cast<int>(id);
  *step = "shmat";
  const int error = attach(id, size_bytes, segment);
  if (raw_syscall(SYS_shmctl, id, IPC_RMID, 0) < 0) raw_syscall(SYS_shmctl, id, IPC_RMID, 0);
  return error;
}

int join_shared_segment(int id, size_t size_bytes_min, SharedSegment* segment) {
  shmid_ds status = {};
  const long error = raw_syscall(SYS_shmctl, id, IPC_STAT, as_argument(&status));
  if (error < 0) return static_cast<int>(error);
  if (status.shm_segsz < size_bytes_min) return -EINVAL;
  // Its number came from outside: another user could change a segment of its own at any moment.
  const uid_t maker = status.shm_perm.cuid;
  if (maker != 0 && maker != static_cast<uid_t>(raw_syscall(SYS_geteuid))) return -EPERM;
  return attach(id, status.shm_segsz, segment);
}

void detach_shared_segment(const SharedSegment& segment) { raw_syscall(SYS_shmdt, as_argument(segment.address)); }

}  // namespace aiox::kernel
