// oracle_rows.cc - parses the tables of docs/compatibility.md; see oracle_rows.h for their form.
#include "oracle_rows.h"

#include <cstdio>
#include <fstream>
#include <set>

#include "case_runner.h"

namespace aiox_test {
namespace {

// "| G-07 | ..." gives "G-07"; anything that is not a row of ours gives "".
std::string id_of(const std::string& line) {
  if (line.rfind("| G-", 0) != 0 && line.rfind("| N-", 0) != 0 && line.rfind("| K-", 0) != 0) return "";
  const size_t end = line.find(" |", 2);
  return end == std::string::npos ? "" : line.substr(2, end - 2);
}

std::vector<std::string> names_in_last_column(const std::string& line) {
  std::vector<std::string> names;
  const size_t last_bar = line.rfind('|');
  if (last_bar == 0 || last_bar == std::string::npos) return names;
  const size_t begin = line.rfind('|', last_bar - 1);
  if (begin == std::string::npos) return names;
  const std::string column = line.substr(begin, last_bar - begin);
  size_t open = column.find('`');
  while (open != std::string::npos) {
    const size_t close = column.find('`', open + 1);
    if (close == std::string::npos) break;
    names.push_back(column.substr(open + 1, close - open - 1));
    open = column.find('`', close + 1);
  }
  return names;
}

}  // namespace

bool OracleRows::load(const std::string& path) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const std::string id = id_of(line);
    if (id.empty()) continue;
    auto& rows = id[0] == 'G' ? differing_ : id[0] == 'N' ? not_compared_ : kept_;
    for (const std::string& name : names_in_last_column(line)) rows[name] = id;
  }
  return !differing_.empty();
}

const std::string* OracleRows::id_of_differing(const std::string& case_name) const {
  const auto found = differing_.find(case_name);
  return found == differing_.end() ? nullptr : &found->second;
}

int OracleRows::report_unknown_names(const std::vector<Case>& cases) const {
  int wrong = 0;
  std::set<std::string> known;
  for (const Case& test : cases) {
    known.insert(test.name);
    if (test.options.not_compared != nullptr && not_compared_.count(test.name) == 0) {
      std::printf("UNLISTED  not compared with glibc, and no N row says so: %s\n", test.name.c_str());
      ++wrong;
    }
    if (test.options.not_compared == nullptr && not_compared_.count(test.name) != 0) {
      std::printf("STALE  an N row names a case that is compared: %s\n", test.name.c_str());
      ++wrong;
    }
  }
  for (const auto* rows : {&differing_, &not_compared_, &kept_}) {
    for (const auto& [name, id] : *rows) {
      if (known.count(name) != 0) continue;
      std::printf("STALE  row %s names no case of the suite: %s\n", id.c_str(), name.c_str());
      ++wrong;
    }
  }
  return wrong;
}

}  // namespace aiox_test
