// main.cc - the conformance suite of Linux's native AIO, written against <libaio.h> and syscall(2): the same program
// runs on stock libaio and the kernel (the oracle), under LD_PRELOAD=libaiox-preload.so, and on the drop-in
// libaio.so.1.
//
// AIOX_TEST_LIBAIO_WAY=names|syscall (names) chooses how the calls are made, AIOX_TEST_AGAINST=kernel says that it is
// the kernel that answers them.
#include "calls.h"
#include "case_runner.h"

int main(int argc, char** argv) {
  using namespace libaio_conformance;
  return aiox_test::run_cases_main(argc, argv, way() == Way::kNames ? "io_setup" : "syscall");
}
