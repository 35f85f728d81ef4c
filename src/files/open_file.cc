// open_file.cc - takes over what the kernel said of a descriptor, and works out which lanes it leaves open.
//
// Owns nothing. Thread: the one that attaches the queue; any for the questions. Blocks: no.
// Never calls the kernel.
#include "files/open_file.h"

#include <fcntl.h>

#include "base/assert.h"

namespace aiox::engine {

void OpenFile::open(int fd, const kernel::FileTraits& traits, bool may_bypass) {
  AIOX_ASSERT(fd >= 0);
  // is_direct_aligned takes the bits below them.
  AIOX_ASSERT((traits.offset_alignment_bytes & (traits.offset_alignment_bytes - 1)) == 0);
  AIOX_ASSERT((traits.memory_alignment_bytes & (traits.memory_alignment_bytes - 1)) == 0);
  const int access = traits.status_flags & O_ACCMODE;
  const bool is_name_only = (traits.status_flags & O_PATH) != 0;
  fd_ = fd;
  kind_ = traits.kind;
  status_flags_ = traits.status_flags;
  is_direct_ = (traits.status_flags & O_DIRECT) != 0;
  knows_nowait_ = traits.knows_nowait;
  bypasses_cache_ = may_bypass && kind_ == kernel::FileKind::kBlockDevice && !is_direct_ &&
                    (traits.status_flags & O_APPEND) == 0;
  can_go_direct_ = bypasses_cache_ || (is_direct_ && knows_nowait_ && is_seekable());
  syncs_writes_ = (traits.status_flags & (O_SYNC | O_DSYNC)) != 0;
  can_read_ = access != O_WRONLY && !is_name_only;
  can_write_ = access != O_RDONLY && !is_name_only;
  is_directory_ = traits.is_directory;
  is_eventfd_ = traits.is_eventfd;
  is_file_stream_ = traits.is_file_stream;
  is_instant_ = traits.is_instant;
  offset_alignment_bytes_ = traits.offset_alignment_bytes;
  memory_alignment_bytes_ = traits.memory_alignment_bytes;
}

bool OpenFile::differs(int status_flags) const {
  return ((status_flags ^ status_flags_) & (O_DIRECT | O_APPEND)) != 0;
}

bool OpenFile::is_opened_otherwise(int status_flags) const {
  return ((status_flags ^ status_flags_) & (O_ACCMODE | O_PATH | O_DIRECT | O_APPEND | O_SYNC | O_DSYNC)) != 0;
}

}  // namespace aiox::engine
