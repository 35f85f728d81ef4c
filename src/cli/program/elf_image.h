// elf_image.h - what the loader will find in an ELF file: interpreter, needed libraries, names taken from others and
// names given to others. The file is read, never mapped or run, and nothing in it is believed: every offset is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aiox::cli {

struct ElfSymbol {
  std::string name;
  std::string version;       // GLIBC_2.34; empty when none is asked for
  std::string from_library;  // of an import: the library that the version was bound to at link time
  bool is_imported = false;
};

struct ElfImage {
  bool is_native = true;    // of this machine's class, byte order and processor; else nothing below is filled in
  std::string machine;      // "x86-64", "32-bit x86", "AArch64" ...
  bool is_dynamic = false;  // has a dynamic section: it is linked with libraries, or is one
  bool is_go = false;       // Go's own system calls pass every library by
  std::string interpreter;  // empty for a static program, and for most libraries
  std::string soname;
  std::vector<std::string> needed;
  std::vector<std::string> rpath;  // directories as they stand there, $ORIGIN and all
  std::vector<std::string> runpath;
  std::vector<ElfSymbol> symbols;            // of the dynamic table
  std::vector<std::string> local_functions;  // of the symbol table, where the file has not been stripped of it
  std::string aiox_version;                  // of the note that aiox's libraries carry; empty elsewhere
};

// Nothing when the file cannot be read (`error` then has errno's text) or is no ELF file (`error` is empty).
std::optional<ElfImage> read_elf_image(const std::string& path, std::string* error);

}  // namespace aiox::cli
