#include "cli/doctor/trial/residency.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace aiox::cli::doctor {

bool is_any_cached(int fd, off_t offset, std::size_t length_bytes) {
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const off_t begin = offset - offset % static_cast<off_t>(page_bytes);
  const std::size_t bytes = length_bytes + static_cast<std::size_t>(offset - begin);
  void* view = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, begin);
  if (view == MAP_FAILED) return false;
  std::vector<unsigned char> pages((bytes + page_bytes - 1) / page_bytes);
  const bool is_told = ::mincore(view, bytes, pages.data()) == 0;
  ::munmap(view, bytes);
  return is_told && std::any_of(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
}

}  // namespace aiox::cli::doctor
