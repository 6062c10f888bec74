/* SPDX-License-Identifier: BSD-3-Clause */
/* local.c -- what this build of farbus is, its settings and its transports */
#include "apps/farbus-info/local.h"

#include "apps/common/table.h"
#include "apps/farbus-info/machine.h"
#include "base/config.h"
#include "base/error.h"
#include "transport/transport.h"
#include <errno.h>
#include <farbus-build/commit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_SIZE 256

extern char **environ;

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#ifdef FARBUS_SANITIZE
#define SANITIZERS FARBUS_SANITIZE
#else
#define SANITIZERS ""
#endif

static json_t *build_new(void)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "version", FARBUS_VERSION, "commit",
			 FARBUS_COMMIT, "build_type", FARBUS_BUILD_TYPE, "sanitizers", SANITIZERS,
			 "compiler", COMPILER);
}

struct settings {
	json_t *list;
	bool refused;
};

/* A value of the environment that is not UTF-8 cannot be JSON: then it is "?". */
static json_t *text_new(const char *text)
{
	json_t *value = json_string(text);

	return value ? value : json_string("?");
}

static void setting_add(void *arg, const char *variable, const char *value, const char *preset,
			const char *unit, const char *meaning)
{
	struct settings *settings = arg;

	json_array_append_new(settings->list,
			      json_pack("{s:s,s:o,s:s,s:s,s:s}", "name", variable, "value",
					settings->refused ? json_null() : text_new(value),
					"default", preset, "unit", unit, "meaning", meaning));
}

/* Leaves only defaults in force. */
static void environment_drop(void)
{
	for (char **at = environ; at && *at;) {
		char name[64];
		size_t len = strcspn(*at, "=");

		if (strncmp(*at, "FARBUS_", 7) == 0 && len < sizeof(name)) {
			memcpy(name, *at, len);
			name[len] = '\0';
			unsetenv(name); /* moves those after it to here */
		} else {
			at++;
		}
	}
}

static json_t *settings_new(bool *ret_refused)
{
	struct settings settings = { .list = json_array() };
	struct config config;

	config_unknown_warn();
	settings.refused = config_load(&config) < 0;
	if (settings.refused) {
		char text[ERROR_TEXT_MAX];

		snprintf(text, sizeof(text), "%s", error_text());
		environment_drop();
		if (config_load(&config) < 0)
			memset(&config, 0, sizeof(config));
		error_set(-EINVAL, "%s", text);
	}
	config_each(&config, setting_add, &settings);
	*ret_refused = settings.refused;
	return settings.list;
}

static json_t *transports_new(void)
{
	json_t *list = json_array();

	for (const struct transport_ops *const *ops = transport_backends; *ops; ops++) {
		char reason[REASON_SIZE] = "";
		int err = (*ops)->probe(reason, sizeof(reason));

		json_array_append_new(list, json_pack("{s:s,s:b,s:s}", "name", (*ops)->name,
						      "usable", err == 0, "reason", reason));
	}
	return list;
}

int local_new(json_t **ret_local, bool *ret_refused)
{
	json_t *local = json_pack("{s:o,s:o,s:o}", "farbus", build_new(), "transports",
				  transports_new(), "limits", machine_new());

	/* Last: its error text is the one to show. */
	if (!local || json_object_set_new(local, "settings", settings_new(ret_refused)) < 0) {
		json_decref(local);
		return error_set(-ENOMEM, "no memory for what there is to say");
	}
	*ret_local = local;
	return 0;
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? value : "-";
}

static void settings_print(const json_t *list)
{
	struct table *table = table_new("setting|value|default|unit|meaning");
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		table_row(table, "%s\t%s\t%s\t%s\t%s", text(row, "name"), text(row, "value"),
			  text(row, "default"), text(row, "unit"), text(row, "meaning"));
	}
	table_print(table, "Settings, from the environment", "  ", stdout);
	table_free(table);
}

static void transports_print(const json_t *list)
{
	struct table *table = table_new("transport|usable|why not");
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		table_row(table, "%s\t%s\t%s", text(row, "name"),
			  json_is_true(json_object_get(row, "usable")) ? "yes" : "no",
			  text(row, "reason"));
	}
	table_print(table, "Transports of this build", "  ", stdout);
	table_free(table);
}

static void limits_print(const json_t *list)
{
	struct table *table = table_new("limit|value|good|what for, and what to do");
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		table_row(table, "%s\t%s\t%s\t%s", text(row, "name"), text(row, "value"),
			  json_is_true(json_object_get(row, "good")) ? "yes" : "no",
			  text(row, "meaning"));
	}
	table_print(table, "This machine", "  ", stdout);
	table_free(table);
}

void local_print(const json_t *local)
{
	const json_t *build = json_object_get(local, "farbus");
	const char *sanitizers = text(build, "sanitizers");

	printf("farbus %s, commit %s, %s build%s%s, %s\n", text(build, "version"),
	       text(build, "commit"), text(build, "build_type"), *sanitizers ? " with " : "",
	       sanitizers, text(build, "compiler"));
	settings_print(json_object_get(local, "settings"));
	transports_print(json_object_get(local, "transports"));
	limits_print(json_object_get(local, "limits"));
}
