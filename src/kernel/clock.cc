// clock.cc - finds the kernel's clock function in the vDSO by its ELF tables, once, and calls it from then on.
//
// Owns that function's address. Thread: any; threads that search at the same time find the same. Blocks: no.
// Never calls libc's clock_gettime, which the program may have replaced, and takes no lock.
#include "kernel/clock.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include <atomic>
#include <cstring>

#include "kernel/raw_syscall.h"

namespace aiox::kernel {

namespace {

using ClockFunction = int (*)(clockid_t, timespec*);

#if defined(__aarch64__)
constexpr const char* kName = "__kernel_clock_gettime";
#else
constexpr const char* kName = "__vdso_clock_gettime";
#endif

int ask_kernel(clockid_t clock, timespec* now) {
  return static_cast<int>(raw_syscall(SYS_clock_gettime, clock, as_argument(now)));
}

// What the vDSO's dynamic section says, as addresses in this process.
struct Names {
  const ElfW(Sym)* symbols = nullptr;
  const char* texts = nullptr;
  uint32_t symbol_count = 0;
};

Names names_of(uintptr_t base, uintptr_t load_offset, const ElfW(Dyn)* dynamic) {
  Names names;
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    const uintptr_t address = load_offset + dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_SYMTAB) names.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
    if (dynamic->d_tag == DT_STRTAB) names.texts = reinterpret_cast<const char*>(address);
    // Its second word is the number of chains, which is that of symbols (System V ABI, "Hash Table").
    if (dynamic->d_tag == DT_HASH) names.symbol_count = reinterpret_cast<const uint32_t*>(address)[1];
  }
  // Without DT_HASH (Linux 6.10 and later on some architectures) the section headers have the number.
  if (names.symbol_count != 0) return names;
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(base);
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(base + header->e_shoff);
  for (unsigned i = 0; header->e_shoff != 0 && i < header->e_shnum; i++) {
    if (sections[i].sh_type == SHT_DYNSYM) {
      names.symbol_count = static_cast<uint32_t>(sections[i].sh_size / sizeof(ElfW(Sym)));
    }
  }
  return names;
}

ClockFunction find_in_vdso() {
  const uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  if (base == 0) return ask_kernel;
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(base);
  const auto* segments = reinterpret_cast<const ElfW(Phdr)*>(base + header->e_phoff);
  const ElfW(Dyn)* dynamic = nullptr;
  uintptr_t load_offset = base;
  for (unsigned i = 0; i < header->e_phnum; i++) {
    if (segments[i].p_type == PT_LOAD) load_offset = base + segments[i].p_offset - segments[i].p_vaddr;
    if (segments[i].p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(base + segments[i].p_offset);
  }
  if (dynamic == nullptr) return ask_kernel;
  const Names names = names_of(base, load_offset, dynamic);
  if (names.symbols == nullptr || names.texts == nullptr) return ask_kernel;
  for (uint32_t i = 0; i < names.symbol_count; i++) {
    const ElfW(Sym)& symbol = names.symbols[i];
    if (symbol.st_shndx == SHN_UNDEF || strcmp(names.texts + symbol.st_name, kName) != 0) continue;
    return reinterpret_cast<ClockFunction>(load_offset + symbol.st_value);
  }
  return ask_kernel;
}

}  // namespace

void read_clock(clockid_t clock, timespec* now) {
  static constinit std::atomic<ClockFunction> function{nullptr};
  ClockFunction found = function.load(std::memory_order_relaxed);  // relaxed: all threads find the same
  if (found == nullptr) [[unlikely]] {
    found = find_in_vdso();
    function.store(found, std::memory_order_relaxed);  // relaxed: as above
  }
  if (found(clock, now) != 0) ask_kernel(clock, now);
}

}  // namespace aiox::kernel
