/* old_libaio.c - a stand-in for libaio.so.1, to link against only: its names, with its versions or, where the map is
 * left out, without any. At run time the distribution's own, or aiox, takes its place. */
int io_setup(void) { return 0; }
int io_destroy(void) { return 0; }
int io_submit(void) { return 0; }
int io_cancel(void) { return 0; }
int io_getevents(void) { return 0; }
int io_pgetevents(void) { return 0; }
int io_queue_init(void) { return 0; }
int io_queue_run(void) { return 0; }
int io_queue_wait(void) { return 0; }
int io_queue_release(void) { return 0; }
#ifdef WITH_VERSIONS
int io_cancel_0_1(void) { return 0; }
int io_getevents_0_1(void) { return 0; }
int io_queue_wait_0_1(void) { return 0; }
__asm__(".symver io_cancel_0_1, io_cancel@LIBAIO_0.1");
__asm__(".symver io_getevents_0_1, io_getevents@LIBAIO_0.1");
__asm__(".symver io_queue_wait_0_1, io_queue_wait@LIBAIO_0.1");
#endif
