// main.cc - the conformance suite of the POSIX AIO interface, written against <aio.h> alone: the same program runs on
// glibc (the oracle), under LD_PRELOAD=libaiox-preload.so, and linked with aiox.
#include "case_runner.h"

int main(int argc, char** argv) { return aiox_test::run_cases_main(argc, argv, "aio_read"); }
