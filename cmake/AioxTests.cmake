# What every folder below tests/ builds with:
#   aiox_catch_main   the Catch2 main, compiled once; brings tests/support (catch.h) into the include path
#   aiox_inside       (src/CMakeLists.txt) engine and shim as objects of the test program, so sanitizers see them
#   aiox_inside_faults  the same, with every system call of the engine at the mercy of tests/faults
#   aiox_add_test     one CTest entry, with or without a program of its own
#
# A test that cannot run here prints one line "SKIP: reason" and exits 77 (with Catch2: AIOX_SKIP("reason")).
# Labels: unit conformance random guest programs abi cli faults company tidy stress root.

find_package(Catch2 3 QUIET CONFIG)
if(NOT Catch2_FOUND)
  find_package(Catch2 2.13 REQUIRED CONFIG)
endif()
find_package(Threads REQUIRED)

# Built when a test links it; unoptimised and never sanitized, since Catch2's own code takes a minute otherwise and
# gains nothing here. It comes last in each link, so what it has in common with the rest is taken from there.
add_library(aiox_catch_main STATIC EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/support/catch_main.cc)
target_compile_options(aiox_catch_main PRIVATE -O0 -g0)
if(AIOX_SANITIZE)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/tests/support/catch_main.cc PROPERTIES
    COMPILE_OPTIONS -fno-sanitize=all)
endif()
target_include_directories(aiox_catch_main PUBLIC ${PROJECT_SOURCE_DIR}/tests/support)
target_link_libraries(aiox_catch_main PUBLIC aiox_options Catch2::Catch2 Threads::Threads)
if(Catch2_VERSION VERSION_GREATER_EQUAL 3)
  target_compile_definitions(aiox_catch_main PUBLIC AIOX_CATCH2_V3=1)
endif()

# Files a test writes: on the disk that holds the build, since /tmp may be a tmpfs, which has no O_DIRECT.
set(AIOX_TEST_SCRATCH ${PROJECT_BINARY_DIR}/scratch)
file(MAKE_DIRECTORY ${AIOX_TEST_SCRATCH})

set(AIOX_TSAN "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:history_size=4")
string(APPEND AIOX_TSAN ":suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")
# A second for every process that ends with threads, by default: most of the time of suites that fork for each case.
string(APPEND AIOX_TSAN ":atexit_sleep_ms=50")
# For cases that fork while threads exist, on purpose.
set(AIOX_TSAN_FORKING "${AIOX_TSAN}:die_after_fork=0")
set(AIOX_TEST_ENVIRONMENT
  "AIOX_TEST_PRELOAD=$<TARGET_FILE:aiox-preload>"
  "AIOX_TEST_LIBRARY=$<TARGET_FILE:aiox>"
  "AIOX_TEST_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
  "AIOX_TEST_SCRATCH=${AIOX_TEST_SCRATCH}"
  "AIOX_TEST_SANITIZE=${AIOX_SANITIZE}"
  "AIOX_TEST_SOURCE=${PROJECT_SOURCE_DIR}"
  "ASAN_OPTIONS=halt_on_error=1:detect_stack_use_after_return=1:detect_leaks=1:strict_string_checks=1"
  "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1"
  "${AIOX_TSAN}")

# aiox_add_test(name
#   [SOURCES file...]      builds the program `name` from them; default: the target `name` made elsewhere
#   [COMMAND word...]      runs this instead of the program `name`
#   [ARGS word...]         appended to the command
#   [LINK lib...]          further libraries of the program
#   [PLAIN]                the program has its own main and no Catch2
#   [LABELS label...] [TIMEOUT seconds] [ENVIRONMENT var=value...] [RUN_SERIAL] [RESOURCE_LOCK name...])
function(aiox_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 t "PLAIN;RUN_SERIAL" "TIMEOUT"
    "SOURCES;COMMAND;ARGS;LINK;LABELS;ENVIRONMENT;RESOURCE_LOCK")
  if(t_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "aiox_add_test(${name}): unknown words: ${t_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT t_LABELS)
    message(FATAL_ERROR "aiox_add_test(${name}): needs LABELS")
  endif()
  if(t_SOURCES)
    add_executable(${name} ${t_SOURCES})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    if(t_PLAIN)
      target_link_libraries(${name} PRIVATE aiox_options Threads::Threads ${t_LINK})
    else()
      target_link_libraries(${name} PRIVATE aiox_catch_main ${t_LINK})
    endif()
  endif()
  if(NOT DEFINED t_COMMAND)
    set(t_COMMAND ${name})
  endif()
  if(NOT DEFINED t_TIMEOUT)
    set(t_TIMEOUT 240)  # for what hangs; a busy machine may take long
  endif()
  add_test(NAME ${name} COMMAND ${t_COMMAND} ${t_ARGS} WORKING_DIRECTORY ${AIOX_TEST_SCRATCH})
  set_tests_properties(${name} PROPERTIES
    SKIP_RETURN_CODE 77
    LABELS "${t_LABELS}"
    TIMEOUT ${t_TIMEOUT}
    ENVIRONMENT "${AIOX_TEST_ENVIRONMENT};${t_ENVIRONMENT}")
  if(t_RUN_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
  if(t_RESOURCE_LOCK)
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK "${t_RESOURCE_LOCK}")
  endif()
endfunction()
