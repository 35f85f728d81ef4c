#include "cli/program/elf_image.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

namespace aiox::cli {
namespace {

#if defined(__LP64__)
using Header = Elf64_Ehdr;
using ProgramHeader = Elf64_Phdr;
using Section = Elf64_Shdr;
using Dynamic = Elf64_Dyn;
using Symbol = Elf64_Sym;
using Relocation = Elf64_Rela;
using Note = Elf64_Nhdr;
constexpr unsigned char kNativeClass = ELFCLASS64;
std::uint64_t symbol_index(const Relocation& relocation) { return ELF64_R_SYM(relocation.r_info); }
#else
using Header = Elf32_Ehdr;
using ProgramHeader = Elf32_Phdr;
using Section = Elf32_Shdr;
using Dynamic = Elf32_Dyn;
using Symbol = Elf32_Sym;
using Relocation = Elf32_Rela;
using Note = Elf32_Nhdr;
constexpr unsigned char kNativeClass = ELFCLASS32;
std::uint64_t symbol_index(const Relocation& relocation) { return ELF32_R_SYM(relocation.r_info); }
#endif

#if defined(__x86_64__)
constexpr unsigned kNativeMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kNativeMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr unsigned kNativeMachine = EM_RISCV;
#else
constexpr unsigned kNativeMachine = EM_NONE;  // not told apart
#endif

constexpr unsigned char kNativeOrder = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

// More than any program has: the file is broken, or made to waste memory or time.
constexpr std::uint64_t kBytesMax = std::uint64_t{256} << 20;    // read of one file, in all
constexpr std::uint64_t kBytesMin = std::uint64_t{4} << 20;      // and of a small one, whose parts may be read twice
constexpr std::uint64_t kReadCost = 512;                         // what a small read counts for
constexpr std::uint64_t kTextBytesMax = std::uint64_t{64} << 20; // of names that are kept, in all
constexpr std::size_t kNameBytesMax = 4096;                      // PATH_MAX
constexpr std::size_t kSymbolsMax = std::size_t{1} << 20;
constexpr std::size_t kNeededMax = 1024;
constexpr std::size_t kDirectoriesMax = 64;
constexpr std::size_t kVersionsMax = 4096;

// The name that the note of aiox's libraries goes by.
constexpr char kNoteName[] = "aiox";

class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat status {};
    if (fd_ < 0 || ::fstat(fd_, &status) != 0) {
      error_ = std::strerror(errno);
    } else if (!S_ISREG(status.st_mode)) {
      error_ = S_ISDIR(status.st_mode) ? "is a directory" : "is not a regular file";
    } else {
      bytes_ = static_cast<std::uint64_t>(status.st_size);
      left_ = std::min(std::max(2 * std::min(bytes_, kBytesMax), kBytesMin), kBytesMax);
    }
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& error() const { return error_; }

  // Values from there on; none at all where the file ends before them, or too much of it has been read already.
  template <typename Value>
  std::vector<Value> values(std::uint64_t offset, std::uint64_t count) const {
    if (count > kBytesMax / sizeof(Value)) return {};
    const std::uint64_t bytes = count * sizeof(Value);
    if (offset > bytes_ || bytes > bytes_ - offset) return {};
    const std::uint64_t cost = std::max(bytes, kReadCost);
    if (cost > left_) return {};
    left_ -= cost;
    std::vector<Value> found(count);
    auto* to = reinterpret_cast<char*>(found.data());
    for (std::uint64_t done = 0; done < bytes;) {
      const ssize_t got = ::pread(fd_, to + done, bytes - done, static_cast<off_t>(offset + done));
      if (got <= 0) return {};
      done += static_cast<std::uint64_t>(got);
    }
    return found;
  }

 private:
  int fd_;
  std::uint64_t bytes_ = 0;
  mutable std::uint64_t left_ = 0;  // that may still be read
  std::string error_;
};

std::string machine_name(unsigned machine, unsigned char elf_class) {
  switch (machine) {
    case EM_X86_64: return elf_class == ELFCLASS32 ? "x32" : "x86-64";
    case EM_386: return "32-bit x86";
    case EM_AARCH64: return "AArch64";
    case EM_ARM: return "32-bit ARM";
    case EM_PPC64: return "PowerPC 64";
    case EM_S390: return "S/390";
    case EM_RISCV: return elf_class == ELFCLASS32 ? "32-bit RISC-V" : "RISC-V 64";
    default: return "ELF machine " + std::to_string(machine);
  }
}

std::vector<std::string> directories_of(const std::string& list) {
  std::vector<std::string> found;
  for (std::size_t at = 0; at <= list.size() && found.size() < kDirectoriesMax;) {
    const std::size_t end = std::min(list.find(':', at), list.size());
    if (end > at) found.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return found;
}

class Reader {
 public:
  explicit Reader(const File& file, const Header& header) : file_(file), header_(header) {}

  void read(ElfImage* image) {
    segments_ = file_.values<ProgramHeader>(header_.e_phoff, header_.e_phnum);
    for (const ProgramHeader& segment : segments_) {
      if (segment.p_type == PT_INTERP) image->interpreter = text_at(segment.p_offset, segment.p_filesz);
      if (segment.p_type == PT_NOTE) read_notes(segment, image);
      if (segment.p_type == PT_DYNAMIC) {
        dynamic_ = file_.values<Dynamic>(segment.p_offset, segment.p_filesz / sizeof(Dynamic));
      }
    }
    image->is_dynamic = !dynamic_.empty();
    if (image->is_dynamic) read_dynamic(image);
    read_sections(image);
  }

 private:
  std::string text_at(std::uint64_t offset, std::uint64_t bytes) const {
    const auto text = file_.values<char>(offset, std::min<std::uint64_t>(bytes, kNameBytesMax));
    return std::string(text.begin(), std::find(text.begin(), text.end(), '\0'));
  }

  // Addresses in the dynamic section are those of memory. 0 is that of the header, and what dynamic_value says of what
  // is not there.
  std::optional<std::uint64_t> offset_of(std::uint64_t address) const {
    if (address == 0) return std::nullopt;
    for (const ProgramHeader& segment : segments_) {
      if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
      if (address - segment.p_vaddr < segment.p_filesz) return address - segment.p_vaddr + segment.p_offset;
    }
    return std::nullopt;
  }

  template <typename Value>
  std::vector<Value> values_at(std::uint64_t address, std::uint64_t count) const {
    const auto offset = offset_of(address);
    return offset ? file_.values<Value>(*offset, count) : std::vector<Value>{};
  }

  std::uint64_t dynamic_value(std::int64_t tag) const {
    for (const Dynamic& entry : dynamic_) {
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == tag) return entry.d_un.d_val;
    }
    return 0;
  }

  // Empty, too, where the names of the file are longer or more than those of any program.
  std::string name_in(const std::vector<char>& strings, std::uint64_t index) const {
    if (index >= strings.size()) return {};
    const char* from = strings.data() + index;
    const std::size_t length = ::strnlen(from, std::min<std::uint64_t>(strings.size() - index, kNameBytesMax));
    if (length == kNameBytesMax || length > text_left_) return {};
    text_left_ -= length;
    return std::string(from, length);
  }

  // A name once more, as long as there is room.
  std::string kept(const std::string& name) const {
    if (name.size() > text_left_) return {};
    text_left_ -= name.size();
    return name;
  }

  std::string string_at(std::uint64_t index) const { return name_in(strings_, index); }

  void read_notes(const ProgramHeader& segment, ElfImage* image) const {
    const auto bytes = file_.values<char>(segment.p_offset, segment.p_filesz);
    const auto padded = [&](std::uint64_t length) { return (length + 3) & ~std::uint64_t{3}; };
    for (std::uint64_t at = 0; at + sizeof(Note) <= bytes.size();) {
      Note note;
      std::memcpy(&note, bytes.data() + at, sizeof note);
      at += sizeof note;
      const std::uint64_t whole = padded(note.n_namesz) + padded(note.n_descsz);
      if (whole > bytes.size() - at) return;
      const std::string name(bytes.data() + at, strnlen(bytes.data() + at, note.n_namesz));
      const char* words = bytes.data() + at + padded(note.n_namesz);
      if (name == kNoteName) image->aiox_version.assign(words, strnlen(words, note.n_descsz));
      if (name == "Go") image->is_go = true;
      at += whole;
    }
  }

  void read_dynamic(ElfImage* image) {
    strings_ = values_at<char>(dynamic_value(DT_STRTAB), dynamic_value(DT_STRSZ));
    for (const Dynamic& entry : dynamic_) {
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_NEEDED && image->needed.size() < kNeededMax) {
        image->needed.push_back(string_at(entry.d_un.d_val));
      }
      if (entry.d_tag == DT_SONAME) image->soname = string_at(entry.d_un.d_val);
      if (entry.d_tag == DT_RPATH) image->rpath = directories_of(string_at(entry.d_un.d_val));
      if (entry.d_tag == DT_RUNPATH) image->runpath = directories_of(string_at(entry.d_un.d_val));
    }
    const auto symbols = values_at<Symbol>(dynamic_value(DT_SYMTAB), symbol_count());
    const auto versions = values_at<std::uint16_t>(dynamic_value(DT_VERSYM), symbols.size());
    const auto needs = versions_needed();
    for (std::size_t i = 1; i < symbols.size() && image->symbols.size() < kSymbolsMax; ++i) {
      const Symbol& symbol = symbols[i];
      ElfSymbol found;
      found.name = string_at(symbol.st_name);
      found.is_imported = symbol.st_shndx == SHN_UNDEF;
      const auto need = i < versions.size() ? needs.find(versions[i] & 0x7fff) : needs.end();
      if (need != needs.end()) found.version = kept(need->second.first);
      if (need != needs.end()) found.from_library = kept(need->second.second);
      if (!found.name.empty()) image->symbols.push_back(std::move(found));
    }
  }

  // The dynamic section has no such figure, and sections may be stripped. Imports are not hashed by DT_GNU_HASH; but
  // each that is called or pointed at has a relocation.
  std::uint64_t symbol_count() const {
    if (const auto hash = values_at<std::uint32_t>(dynamic_value(DT_HASH), 2); hash.size() == 2) return hash[1];
    std::uint64_t last = last_hashed_symbol();
    const std::pair<std::int64_t, std::int64_t> tables[] = {{DT_RELA, DT_RELASZ}, {DT_JMPREL, DT_PLTRELSZ}};
    for (const auto& [address, bytes] : tables) {
      const auto relocations = values_at<Relocation>(dynamic_value(address), dynamic_value(bytes) / sizeof(Relocation));
      for (const Relocation& relocation : relocations) last = std::max(last, symbol_index(relocation));
    }
    return last + 1;
  }

  std::uint64_t last_hashed_symbol() const {
    const std::uint64_t address = dynamic_value(DT_GNU_HASH);
    const auto head = values_at<std::uint32_t>(address, 4);
    if (head.size() != 4) return 0;
    const std::uint64_t buckets_at = address + 16 + std::uint64_t{head[2]} * sizeof(void*);
    const auto buckets = values_at<std::uint32_t>(buckets_at, head[0]);
    if (buckets.empty()) return 0;
    std::uint64_t last = *std::max_element(buckets.begin(), buckets.end());
    if (last < head[1]) return head[1] == 0 ? 0 : head[1] - 1;
    const std::uint64_t chains_at = buckets_at + buckets.size() * 4;
    for (;; ++last) {
      const auto link = values_at<std::uint32_t>(chains_at + (last - head[1]) * 4, 1);
      if (link.empty() || (link[0] & 1) != 0) return last;
    }
  }

  // By number: the version, and the library that had it.
  std::map<unsigned, std::pair<std::string, std::string>> versions_needed() const {
    std::map<unsigned, std::pair<std::string, std::string>> found;
    std::uint64_t at = dynamic_value(DT_VERNEED);
    std::size_t seen = 0;
    for (std::uint64_t left = dynamic_value(DT_VERNEEDNUM); left > 0 && seen < kVersionsMax; --left) {
      const auto need = values_at<Elf64_Verneed>(at, 1);  // the same in both classes
      if (need.empty()) break;
      std::uint64_t aux_at = at + need[0].vn_aux;
      for (unsigned i = 0; i < need[0].vn_cnt && seen < kVersionsMax; ++i, ++seen) {
        const auto aux = values_at<Elf64_Vernaux>(aux_at, 1);
        if (aux.empty()) break;
        found[aux[0].vna_other & 0x7fffu] = {string_at(aux[0].vna_name), string_at(need[0].vn_file)};
        if (aux[0].vna_next == 0) break;
        aux_at += aux[0].vna_next;
      }
      ++seen;
      if (need[0].vn_next == 0) break;
      at += need[0].vn_next;
    }
    return found;
  }

  void read_sections(ElfImage* image) const {
    const auto sections = file_.values<Section>(header_.e_shoff, header_.e_shnum);
    if (header_.e_shstrndx >= sections.size()) return;
    const Section& names = sections[header_.e_shstrndx];
    for (const Section& section : sections) {
      const std::string name = text_at(names.sh_offset + section.sh_name, 24);
      if (name == ".go.buildinfo" || name == ".note.go.buildid") image->is_go = true;
      if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
      const auto strings = file_.values<char>(sections[section.sh_link].sh_offset, sections[section.sh_link].sh_size);
      for (const Symbol& symbol : file_.values<Symbol>(section.sh_offset, section.sh_size / sizeof(Symbol))) {
        const bool is_function = (symbol.st_info & 0xf) == STT_FUNC && symbol.st_shndx != SHN_UNDEF;
        if (!is_function || image->local_functions.size() >= kSymbolsMax) continue;
        std::string name_of_function = name_in(strings, symbol.st_name);
        if (!name_of_function.empty()) image->local_functions.push_back(std::move(name_of_function));
      }
    }
  }

  const File& file_;
  const Header& header_;
  std::vector<ProgramHeader> segments_;
  std::vector<Dynamic> dynamic_;
  std::vector<char> strings_;
  mutable std::uint64_t text_left_ = kTextBytesMax;
};

}  // namespace

std::optional<ElfImage> read_elf_image(const std::string& path, std::string* error) {
  const File file(path);
  *error = file.error();
  if (!error->empty()) return std::nullopt;
  const auto headers = file.values<Header>(0, 1);
  if (headers.empty() || std::memcmp(headers[0].e_ident, ELFMAG, SELFMAG) != 0) return std::nullopt;
  const Header& header = headers[0];
  ElfImage image;
  image.machine = machine_name(header.e_machine, header.e_ident[EI_CLASS]);
  image.is_native = header.e_ident[EI_CLASS] == kNativeClass && header.e_ident[EI_DATA] == kNativeOrder &&
                    (kNativeMachine == EM_NONE || header.e_machine == kNativeMachine) &&
                    header.e_phentsize == sizeof(ProgramHeader);
  if (image.is_native) Reader(file, header).read(&image);
  return image;
}

}  // namespace aiox::cli
