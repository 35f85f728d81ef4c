/* old_librt.c - a stand-in for the librt.so.1 of glibc 2.4 to 2.33, to link against only: its names and versions. At
 * run time the system's own librt.so.1 takes its place and libc (or aiox) has the functions. */
#define NAMES(suffix)                                                             \
  int aio_read##suffix(void) { return 0; }                                        \
  int aio_write##suffix(void) { return 0; }                                       \
  int aio_fsync##suffix(void) { return 0; }                                       \
  int aio_error##suffix(void) { return 0; }                                       \
  long aio_return##suffix(void) { return 0; }                                     \
  int aio_suspend##suffix(void) { return 0; }                                     \
  int aio_cancel##suffix(void) { return 0; }                                      \
  int lio_listio##suffix##_2_2_5(void) { return 0; }                              \
  int lio_listio##suffix##_2_4(void) { return 0; }                                \
  __asm__(".symver lio_listio" #suffix "_2_2_5, lio_listio" #suffix "@GLIBC_2.2.5"); \
  __asm__(".symver lio_listio" #suffix "_2_4, lio_listio" #suffix "@@GLIBC_2.4")

NAMES();
NAMES(64);
void aio_init(void) {}
