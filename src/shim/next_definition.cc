// next_definition.cc - reads the loader's list of loaded objects (r_debug, as debuggers do) and the hash tables of
// shared objects (System V gABI, and DT_GNU_HASH of glibc's elf/dl-lookup.c).
//
// Owns nothing. Thread: any, in a signal handler and in a vfork'ed child too. Blocks: no.
// Never takes a lock, allocates, or calls a function of the loader's.
#include "shim/next_definition.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstdint>
#include <cstring>

namespace aiox::shim {

namespace {

constexpr ElfW(Half) kHiddenVersion = 0x8000;  // VERSYM_HIDDEN: an old version, for programs that ask for it

// The loader's list, which it leaves in the program's own dynamic section. nullptr: the program has none.
const link_map* first_loaded() {
  const auto* header = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
  const unsigned long count = getauxval(AT_PHNUM);
  if (header == nullptr) return nullptr;
  uintptr_t base = 0;
  const ElfW(Phdr)* dynamic = nullptr;
  for (unsigned long i = 0; i < count; i++) {
    if (header[i].p_type == PT_PHDR) base = reinterpret_cast<uintptr_t>(header) - header[i].p_vaddr;
    if (header[i].p_type == PT_DYNAMIC) dynamic = &header[i];
  }
  if (dynamic == nullptr) return nullptr;
  for (const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(base + dynamic->p_vaddr); entry->d_tag != DT_NULL;
       entry++) {
    if (entry->d_tag != DT_DEBUG || entry->d_un.d_ptr == 0) continue;
    return reinterpret_cast<const r_debug*>(entry->d_un.d_ptr)->r_map;
  }
  return nullptr;
}

// What a shared object defines, by its dynamic section.
class Definitions {
 public:
  explicit Definitions(const link_map* object) : object_(object) {
    for (const ElfW(Dyn)* entry = object->l_ld; entry != nullptr && entry->d_tag != DT_NULL; entry++) {
      switch (entry->d_tag) {
        case DT_SYMTAB: symbols_ = at<ElfW(Sym)>(entry); break;
        case DT_STRTAB: names_ = at<char>(entry); break;
        case DT_VERSYM: versions_ = at<ElfW(Half)>(entry); break;
        case DT_GNU_HASH: gnu_hash_ = at<uint32_t>(entry); break;
        case DT_HASH: hash_ = at<uint32_t>(entry); break;
        default: break;
      }
    }
  }
  void* find(const char* name) const {
    if (symbols_ == nullptr || names_ == nullptr) return nullptr;
    if (gnu_hash_ != nullptr) return find_by_gnu_hash(name);
    return hash_ != nullptr ? find_by_hash(name) : nullptr;
  }

 private:
  // The loader writes the addresses in place of the offsets, but for objects whose section is read-only.
  template <class T>
  const T* at(const ElfW(Dyn)* entry) const {
    const uintptr_t value = entry->d_un.d_ptr;
    return reinterpret_cast<const T*>(value < object_->l_addr ? value + object_->l_addr : value);
  }

  void* find_by_gnu_hash(const char* name) const {
    uint32_t hash = 5381;
    for (const char* c = name; *c != 0; c++) hash = hash * 33 + static_cast<unsigned char>(*c);
    const uint32_t bucket_count = gnu_hash_[0], first = gnu_hash_[1], filter_words = gnu_hash_[2];
    const uint32_t* buckets = gnu_hash_ + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t* chains = buckets + bucket_count;
    if (bucket_count == 0) return nullptr;
    uint32_t index = buckets[hash % bucket_count];
    if (index < first) return nullptr;
    for (;; index++) {
      const uint32_t other = chains[index - first];
      void* found = (other | 1) == (hash | 1) ? definition(index, name) : nullptr;
      if (found != nullptr || (other & 1) != 0) return found;
    }
  }

  void* find_by_hash(const char* name) const {
    const uint32_t symbol_count = hash_[1];
    for (uint32_t index = 1; index < symbol_count; index++) {
      void* found = definition(index, name);
      if (found != nullptr) return found;
    }
    return nullptr;
  }

  void* definition(uint32_t index, const char* name) const {
    const ElfW(Sym)& symbol = symbols_[index];
    const unsigned binding = ELF64_ST_BIND(symbol.st_info), type = ELF64_ST_TYPE(symbol.st_info);
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_value == 0 || (binding != STB_GLOBAL && binding != STB_WEAK)) {
      return nullptr;
    }
    if (type != STT_FUNC && type != STT_NOTYPE) return nullptr;
    if (versions_ != nullptr && (versions_[index] & kHiddenVersion) != 0) return nullptr;
    if (strcmp(names_ + symbol.st_name, name) != 0) return nullptr;
    return reinterpret_cast<void*>(object_->l_addr + symbol.st_value);
  }

  const link_map* object_;
  const ElfW(Sym)* symbols_ = nullptr;
  const char* names_ = nullptr;
  const ElfW(Half)* versions_ = nullptr;
  const uint32_t* gnu_hash_ = nullptr;
  const uint32_t* hash_ = nullptr;
};

}  // namespace

void* find_next_definition(const char* name) {
  bool is_behind = false;
  void* in_front = nullptr;
  for (const link_map* object = first_loaded(); object != nullptr; object = object->l_next) {
    if (object->l_ld == _DYNAMIC) {  // this library's own
      is_behind = true;
      continue;
    }
    if (!is_behind && in_front != nullptr) continue;
    void* found = Definitions(object).find(name);
    if (found != nullptr && is_behind) return found;
    if (found != nullptr) in_front = found;
  }
  return in_front;
}

}  // namespace aiox::shim
