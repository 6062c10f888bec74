/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * error.h -- the calling thread's last failure, as one line for people
 *
 * Set once, where the cause is known; callers above pass the number on unchanged.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERROR_TEXT_MAX 320

/*
 * Records the text and returns error, so that a failure is one line: return error_set(-EINVAL, ...).
 * The text may be made of error_text(); what is past ERROR_TEXT_MAX - 1 characters is cut.
 */
int error_set(int error, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

#ifdef __clang_analyzer__ /* clang-tidy cannot look into error.c: what comes back is negative */
#define error_set(error, ...) (error_set(error, __VA_ARGS__) < 0 ? (error) < 0 ? (error) : -1 : -1)
#endif

/* Never NULL; "" before the first failure. Valid until the thread's next error_set(). */
const char *error_text(void);

/* Forget the text (tests). */
void error_clear(void);

#endif
