// text_test.cc - figures as people read and write them, tables, and the histogram that the figures come from.
#include <cstdint>
#include <optional>
#include <string>

#include "base/histogram.h"
#include "catch.h"
#include "cli/text/json.h"
#include "cli/text/table.h"
#include "cli/text/terminal.h"
#include "cli/text/units.h"

using namespace aiox::cli;

TEST_CASE("sizes are read as fio reads them, and nothing else is") {
  CHECK(parse_size("512") == std::optional<std::uint64_t>(512));
  CHECK(parse_size("4k") == std::optional<std::uint64_t>(4096));
  CHECK(parse_size("2G") == std::optional<std::uint64_t>(std::uint64_t{2} << 30));
  CHECK(parse_size("16777216t") == std::nullopt);  // 2^64
  CHECK(parse_size("16777215t").has_value());
  for (const char* text : {"", "k", "4kk", "4 k", "-1", "4x", "1.5k", "0x10"}) CHECK(parse_size(text) == std::nullopt);
}

TEST_CASE("text of others carries no command to a terminal") {
  CHECK(shown_text("data/gr\xc3\xb6\xc3\x9f"
                   "e \xe2\x82\xac \xf0\x9f\x92\xbe") ==
        "data/gr\xc3\xb6\xc3\x9f"
        "e \xe2\x82\xac \xf0\x9f\x92\xbe");
  CHECK(shown_text("a\x1b[2Jb\nc\x7f") == "a?[2Jb?c?");
  CHECK(shown_text("\xc2\x9b" "31m \x9b") == "?31m ?");                                // C1, as UTF-8 and by itself
  CHECK(shown_text("\xe2\x80\xae" "exe\xe2\x81\xa6.\xd8\x9c.\xe2\x80\x8b") == "?exe?.?.?");  // bidi, unseen
  CHECK(shown_text("\xc0\x9b \xe0\x82\x9b \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82") ==
        "?? ??? ??? ???? ??");  // no UTF-8
  CHECK(shown_text("") == "");
  Table table({"file"});
  table.add_row({"x\x1b]0;y"});
  CHECK(table.text(false) == "file\nx?]0;y\n");
}

TEST_CASE("JSON carries no command to a terminal either, and is read back as it was") {
  const std::string name =
      "a\x1b[2J\x7f\xc2\x9b"
      "31m\xe2\x80\xae"
      "exe\xe2\x81\xa6 gr\xc3\xb6\xc3\x9f"
      "e";
  for (const int indent : {kOnOneLine, kReadable}) {
    const std::string text = json_text(Json{{"name", name}}, indent);
    for (const char letter : text) CHECK((letter == '\n' || (letter >= ' ' && letter <= '~')));
    CHECK(Json::parse(text)["name"] == name);
  }
  CHECK(json_text(Json("\xc0\x9b"), kOnOneLine) == "\"\\ufffd\\ufffd\"");  // no UTF-8
}

TEST_CASE("times are read with their unit, seconds without") {
  CHECK(parse_duration("2") == std::optional<std::uint64_t>(2'000'000'000));
  CHECK(parse_duration("1.5ms") == std::optional<std::uint64_t>(1'500'000));
  CHECK(parse_duration("3m") == std::optional<std::uint64_t>(180'000'000'000));
  for (const char* text : {"", "s", "-1s", "1d", "nan", "inf", "1e30"}) CHECK(parse_duration(text) == std::nullopt);
}

TEST_CASE("figures keep three places and never show a thousand of a unit") {
  CHECK(bytes_text(512) == "512 B");
  CHECK(bytes_text(4096) == "4 KiB");
  CHECK(bytes_text(1536) == "1.50 KiB");
  CHECK(bytes_text(1024 * 1024 - 1) == "1.00 MiB");
  CHECK(count_text(7) == "7");
  CHECK(count_text(999) == "999");
  CHECK(count_text(999.6) == "1.00k");
  CHECK(count_text(131256) == "131k");
  CHECK(count_text(999999) == "1.00M");
  CHECK(duration_text(850) == "850 ns");
  CHECK(duration_text(12345) == "12.3 us");
  CHECK(duration_text(1.5e9) == "1.50 s");
}

TEST_CASE("a range has its figures in one unit, or each with its own") {
  CHECK(count_range_text(2740, 7930) == "2.74k..7.93k");
  CHECK(count_range_text(2.74, 7.93) == "2.74..7.93");
  CHECK(count_range_text(2.74, 7934) == "2.74..7930");  // not 2.74..7.93k
  CHECK(count_range_text(7, 1234567) == "7..1230000");
  CHECK(count_range_text(998, 999.7) == "998..1000");
  CHECK(count_range_text(0, 0) == "0..0");
}

TEST_CASE("a percentile is there where the sample has a value beyond it") {
  CHECK(aiox::base::has_percentile(100, 99));
  CHECK(!aiox::base::has_percentile(99, 99));
  CHECK(aiox::base::has_percentile(1000, 99.9));
  CHECK(!aiox::base::has_percentile(19, 99.999));
  CHECK(aiox::base::has_percentile(1, 100));
  CHECK(!aiox::base::has_percentile(0, 100));
  CHECK(!aiox::base::has_percentile(19, 1));
}

TEST_CASE("columns are as wide as their widest cell and lines do not end in blanks") {
  Table table({"name", ">count", "note"});
  table.add_row({"a", "1", ""});
  table.add_row({"longer", "1000", "x"});
  CHECK(table.text(false) == "name    count  note\na           1\nlonger   1000  x\n");
}

TEST_CASE("a histogram keeps each value to 1.6 % and its largest exactly") {
  for (std::uint64_t value = 1; value < UINT64_MAX / 3; value += value / 2 + 1) {
    const std::uint64_t last = aiox::base::last_of_cell(aiox::base::cell_of(value));
    CHECK(last >= value);
    CHECK(static_cast<double>(last - value) <= 0.016 * static_cast<double>(value));
  }
  aiox::base::Histogram some;
  aiox::base::Histogram others;
  for (std::uint64_t value = 1; value <= 1000; ++value) (value % 2 != 0 ? some : others).record(value);
  some.merge(others);
  CHECK(some.count() == 1000);
  CHECK(some.max() == 1000);
  CHECK(some.mean() == 500.5);
  CHECK(some.percentile(50) >= 500);
  CHECK(some.percentile(50) <= 508);
  CHECK(some.percentile(100) == 1000);
}
