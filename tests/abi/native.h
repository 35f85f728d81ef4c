/* native.h - native AIO as a program has it that knows nothing of aiox, by every name of libaio and by the numbers. */
#ifndef AIOX_TESTS_ABI_NATIVE_H
#define AIOX_TESTS_ABI_NATIVE_H

/* Works with all of them on a file in the current directory, checks what they answer, and exits with a message where
 * that is wrong. NATIVE_NAMES_ONLY in the environment leaves the numbers out. Returns the path of the library that
 * answered. */
const char* native_work(void);

#endif
