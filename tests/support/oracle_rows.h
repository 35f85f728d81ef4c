// oracle_rows.h - the rows of docs/compatibility.md, as far as a program can check them.
//
// A row is a line of a Markdown table whose first column is an id: G-<n> (glibc differs: each case named in it must
// fail on glibc), N-<n> (not compared: why glibc's answer says nothing) or K-<n> (kept as glibc has it: each case named
// must exist and pass on glibc, as any case without a row must). Case names stand in the last column, each between
// backticks.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace aiox_test {

struct Case;

class OracleRows {
 public:
  // Reads the document. False when it cannot be read or has no row.
  bool load(const std::string& path);

  // The id of the G row that names this case; null when none does.
  const std::string* id_of_differing(const std::string& case_name) const;

  // Prints rows that name no case, and cases left out of the comparison without a row. Returns how many.
  int report_unknown_names(const std::vector<Case>& cases) const;

 private:
  std::map<std::string, std::string> differing_;     // case name to id of its G row
  std::map<std::string, std::string> not_compared_;  // case name to id of its N row
  std::map<std::string, std::string> kept_;          // case name to id of its K row
};

}  // namespace aiox_test
