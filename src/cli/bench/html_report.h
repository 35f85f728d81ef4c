// html_report.h - a report as one page that needs nothing else: no script, no font, no picture from elsewhere.
#pragma once

#include <string>

#include "cli/bench/report.h"

namespace aiox::cli::bench {

std::string html_report(const Report& report);

}  // namespace aiox::cli::bench
