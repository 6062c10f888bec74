/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.h -- settings, from FARBUS_* in the environment
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_TEXT_MAX 256

struct config {
#define CONFIG_UINT(name) uint64_t name;
#define CONFIG_BOOL(name) bool name;
#define CONFIG_TEXT(name) char name[CONFIG_TEXT_MAX];
#define CONFIG_SECRET(name) CONFIG_TEXT(name)
#define CONFIG(kind, name, preset, unit, meaning) CONFIG_##kind(name)
#include "base/config.def"
#undef CONFIG
#undef CONFIG_UINT
#undef CONFIG_BOOL
#undef CONFIG_TEXT
#undef CONFIG_SECRET
};

/*
 * Defaults, then the environment. Errors: -EINVAL with the variable, its value and what would do.
 * Threads: any thread, while no other changes the environment.
 */
int config_load(struct config *ret_config);

/*
 * A warning with the nearest name for each FARBUS_ variable that is no setting. Once per process,
 * however often it is called; after log_open(), so that FARBUS_LOG counts and the rank is known.
 */
void config_unknown_warn(void);

/*
 * For farbus-info: calls row() for each setting with its value now, its default, unit, meaning. The
 * value of a SECRET is "(set)" or "".
 */
typedef void (*config_row_fn)(void *arg, const char *variable, const char *value,
			      const char *preset, const char *unit, const char *meaning);
void config_each(const struct config *config, config_row_fn row, void *arg);

#endif
