// open_file_test.cc - what follows for the lanes from the kernel's answers about a descriptor.

#include "files/open_file.h"

#include <fcntl.h>

#include "catch.h"

using aiox::engine::OpenFile;
using aiox::kernel::FileKind;
using aiox::kernel::FileTraits;

namespace {

OpenFile opened(int status_flags, FileKind kind = FileKind::kRegular, bool may_bypass = false,
                bool knows_nowait = true) {
  FileTraits traits;
  traits.kind = kind;
  traits.status_flags = status_flags;
  traits.knows_nowait = knows_nowait;
  OpenFile file;
  file.open(7, traits, may_bypass);
  return file;
}

}  // namespace

TEST_CASE("a file may be read and written as it was opened, and by O_PATH not at all") {
  CHECK(opened(O_RDONLY).can_read());
  CHECK_FALSE(opened(O_RDONLY).can_write());
  CHECK_FALSE(opened(O_WRONLY).can_read());
  CHECK(opened(O_WRONLY).can_write());
  CHECK(opened(O_RDWR).can_read());
  CHECK(opened(O_RDWR).can_write());
  CHECK_FALSE(opened(O_PATH).can_read());
  CHECK_FALSE(opened(O_RDWR | O_PATH).can_write());
}

TEST_CASE("the direct lane takes seekable O_DIRECT files that know RWF_NOWAIT, and devices past the page cache") {
  CHECK(opened(O_RDWR | O_DIRECT).can_go_direct());
  CHECK_FALSE(opened(O_RDWR).can_go_direct());
  CHECK_FALSE(opened(O_RDWR | O_DIRECT, FileKind::kPipe).can_go_direct());
  CHECK_FALSE(opened(O_RDWR | O_DIRECT, FileKind::kRegular, false, false).can_go_direct());
  CHECK(opened(O_RDWR, FileKind::kBlockDevice, true).can_go_direct());
  CHECK(opened(O_RDWR, FileKind::kBlockDevice, true).bypasses_cache());
  CHECK_FALSE(opened(O_RDWR, FileKind::kBlockDevice, false).can_go_direct());
  CHECK_FALSE(opened(O_RDWR | O_DIRECT, FileKind::kBlockDevice, true).bypasses_cache());
  CHECK_FALSE(opened(O_RDWR | O_APPEND, FileKind::kBlockDevice, true).bypasses_cache());
  CHECK_FALSE(opened(O_RDWR, FileKind::kRegular, true).bypasses_cache());
}

TEST_CASE("a direct transfer is aligned only if offset, length and address are") {
  FileTraits traits;
  traits.status_flags = O_RDWR | O_DIRECT;
  traits.offset_alignment_bytes = 4096;
  traits.memory_alignment_bytes = 512;
  OpenFile file;
  file.open(7, traits, false);
  const auto address = [](uintptr_t value) { return reinterpret_cast<const void*>(value); };
  CHECK(file.is_direct_aligned(address(0x10200), 8192, 4096));
  CHECK_FALSE(file.is_direct_aligned(address(0x10100), 8192, 4096));
  CHECK_FALSE(file.is_direct_aligned(address(0x10200), 8192 + 512, 4096));
  CHECK_FALSE(file.is_direct_aligned(address(0x10200), 8192, 512));
}

TEST_CASE("flags that change how I/O is done differ; those of another open are told from them") {
  const OpenFile file = opened(O_RDWR | O_APPEND);
  CHECK_FALSE(file.differs(O_RDWR | O_APPEND | O_NONBLOCK));
  CHECK(file.differs(O_RDWR));
  CHECK(file.differs(O_RDWR | O_APPEND | O_DIRECT));
  CHECK_FALSE(file.differs(O_RDONLY | O_APPEND));  // F_SETFL does not change that
  CHECK(file.is_opened_otherwise(O_RDONLY | O_APPEND));
  CHECK(file.is_opened_otherwise(O_RDWR | O_APPEND | O_SYNC));
  CHECK_FALSE(file.is_opened_otherwise(O_RDWR | O_APPEND | O_NONBLOCK));
  CHECK(opened(O_RDWR | O_DSYNC).syncs_writes());
  CHECK_FALSE(file.syncs_writes());
}
