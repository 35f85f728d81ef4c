// config.h - the AIOX_ variables (base/settings.h), read once when the engine starts.
//
// A bad value is named in one line on stderr and the default taken. A program that runs with raised privileges
// (AT_SECURE) is not steered by its caller's environment: all variables are ignored there.
#pragma once

#include "base/settings.h"

namespace aiox::engine {

using base::BackendChoice;
using Config = base::Settings;

Config read_config();
const char* name_of(BackendChoice choice);

// Writes "aiox: " and the text to stderr in one write(2). Signal-safe; errno kept.
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace aiox::engine
