/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h -- one line per event on stderr, filtered by the setting FARBUS_LOG
 *
 * "farbus[RANK] warning: text". Each cause is logged once, where it is known.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

extern int log_level_max; /* read with log_wanted() */

/* Any thread; what other threads log meanwhile may still have the old rank. */
void log_open(int level_max, unsigned int rank);
/* Any thread. Leaves errno alone; what is no printable character is written as '?'. */
void log_write(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/* Ordering: none; a level that changes counts from some line on. */
static inline int log_wanted(enum log_level level)
{
	return (int)level <= __atomic_load_n(&log_level_max, __ATOMIC_RELAXED);
}

#define log_at(level, ...)                               \
	do {                                             \
		if (log_wanted(level))                   \
			log_write((level), __VA_ARGS__); \
	} while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
