/* SPDX-License-Identifier: BSD-3-Clause */
/* config.c -- settings, from FARBUS_* in the environment */
#include "base/config.h"

#include "base/error.h"
#include "base/log.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE_MAX 64

extern char **environ;

enum kind { KIND_UINT, KIND_BOOL, KIND_TEXT, KIND_SECRET };

#define PRESET_UINT(x) #x
#define PRESET_BOOL(x) #x
#define PRESET_TEXT(x) x
#define PRESET_SECRET(x) x

static const struct setting {
	enum kind kind;
	const char *name, *preset, *unit, *meaning;
	size_t at;
} settings[] = {
#define CONFIG(kind, name, preset, unit, meaning) \
	{ KIND_##kind, #name, PRESET_##kind(preset), unit, meaning, offsetof(struct config, name) },
#include "base/config.def"
#undef CONFIG
};
#define SETTING_MAX 24
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))
_Static_assert(SETTING_COUNT <= SETTING_MAX, "more settings than anybody will read");

static void variable_name(const struct setting *setting, char ret_name[VARIABLE_MAX])
{
	int n = snprintf(ret_name, VARIABLE_MAX, "FARBUS_%s", setting->name);

	for (int i = 0; i < n && i < VARIABLE_MAX; i++)
		ret_name[i] = (char)toupper((unsigned char)ret_name[i]);
}

static int uint_set(const char *variable, const char *value, uint64_t *ret_value)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)value[0]) || *end || errno || n > INT_MAX)
		return error_set(-EINVAL, "%s=%.40s: give a whole number from 0 to %d", variable,
				 value, INT_MAX);
	*ret_value = n;
	return 0;
}

static int bool_set(const char *variable, const char *value, bool *ret_value)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return error_set(-EINVAL, "%s=%.40s: give 0 or 1", variable, value);
	*ret_value = value[0] == '1';
	return 0;
}

static int setting_set(struct config *config, const struct setting *setting, const char *value)
{
	void *at = (char *)config + setting->at;
	char variable[VARIABLE_MAX];

	variable_name(setting, variable);
	switch (setting->kind) {
	case KIND_UINT:
		return uint_set(variable, value, at);
	case KIND_BOOL:
		return bool_set(variable, value, at);
	case KIND_TEXT:
	case KIND_SECRET:
		if (strlen(value) >= CONFIG_TEXT_MAX)
			return error_set(-EINVAL, "%s: longer than %d characters", variable,
					 CONFIG_TEXT_MAX - 1);
		strcpy(at, value);
		return 0;
	}
	return 0;
}

/* Levenshtein distance of two short names. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[VARIABLE_MAX + 1];
	size_t n = strnlen(b, VARIABLE_MAX);

	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 0; a[i]; i++) {
		unsigned int corner = row[0]++;

		for (size_t j = 0; j < n; j++) {
			unsigned int best = corner + (a[i] != b[j]);

			corner = row[j + 1];
			best = corner + 1 < best ? corner + 1 : best;
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j + 1] = best;
		}
	}
	return row[n];
}

static void variable_warn(const char *variable)
{
	char name[VARIABLE_MAX], nearest[VARIABLE_MAX] = "";
	unsigned int least = UINT_MAX;

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		unsigned int d;

		variable_name(&settings[i], name);
		d = distance(variable, name);
		if (d < least) {
			least = d;
			strcpy(nearest, name);
		}
	}
	log_warning("%s is no setting and is ignored; did you mean %s? farbus-info lists them all",
		    variable, nearest);
}

static bool variable_known(const char *variable)
{
	char name[VARIABLE_MAX];

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		variable_name(&settings[i], name);
		if (strcmp(variable, name) == 0)
			return true;
	}
	return false;
}

void config_unknown_warn(void)
{
	static atomic_flag done = ATOMIC_FLAG_INIT;

	if (atomic_flag_test_and_set(&done))
		return;
	for (char **at = environ; at && *at; at++) {
		const char *end = strchr(*at, '=');
		char variable[VARIABLE_MAX];

		if (!end || strncmp(*at, "FARBUS_", 7) != 0)
			continue;
		snprintf(variable, sizeof(variable), "%.*s", (int)(end - *at), *at);
		if (!variable_known(variable))
			variable_warn(variable);
	}
}

int config_load(struct config *ret_config)
{
	struct config config;
	char variable[VARIABLE_MAX];
	int err;

	memset(&config, 0, sizeof(config));
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const char *value;

		variable_name(&settings[i], variable);
		value = getenv(variable);
		err = setting_set(&config, &settings[i], value ? value : settings[i].preset);
		if (err < 0)
			return err;
	}
	*ret_config = config;
	return 0;
}

void config_each(const struct config *config, config_row_fn row, void *arg)
{
	char variable[VARIABLE_MAX], value[32];

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *setting = &settings[i];
		const void *at = (const char *)config + setting->at;
		const char *text = at;

		variable_name(setting, variable);
		if (setting->kind == KIND_SECRET && text[0]) {
			text = "(set)";
		} else if (setting->kind == KIND_UINT || setting->kind == KIND_BOOL) {
			snprintf(value, sizeof(value), "%llu",
				 setting->kind == KIND_BOOL ?
					 (unsigned long long)*(const bool *)at :
					 (unsigned long long)*(const uint64_t *)at);
			text = value;
		}
		row(arg, variable, text, setting->preset, setting->unit, setting->meaning);
	}
}
