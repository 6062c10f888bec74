/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rows.c -- fills the tables of a manual page from the lists that the library is built from
 *
 *   man-rows VERSION <PAGE.scd >FILLED_IN
 *
 * A line "@settings@", "@counters@", "@thread-counters@" or "@nic-stats@" becomes one paragraph per
 * entry; "@version@" anywhere becomes VERSION.
 */
#include "base/config.h"
#include "base/counter.h"
#include "base/process.h"
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 4096
#define MARK "@version@"

/* scdoc takes these for markup. */
static void text_print(const char *text)
{
	for (; *text; text++) {
		if (strchr("_*\\#|[]<>~`", *text))
			putchar('\\');
		putchar(*text);
	}
}

static void entry_print(const char *name, const char *meaning)
{
	printf("*");
	text_print(name);
	printf("*\n\t");
	text_print(meaning);
}

static void setting_print(void *arg, const char *variable, const char *value, const char *preset,
			  const char *unit, const char *meaning)
{
	(void)arg;
	(void)value;
	entry_print(variable, meaning);
	if (unit[0])
		printf(" (");
	text_print(unit);
	if (unit[0])
		printf(")");
	printf(". Default: ");
	text_print(preset[0] ? preset : "none");
	printf(".\n\n");
}

static void counters_print(void)
{
	for (int i = 0; i < COUNTER_MAX; i++) {
		entry_print(counter_name((enum counter)i), counter_meaning((enum counter)i));
		printf("\n\n");
	}
}

static void thread_counters_print(void)
{
	for (unsigned i = 0; i < PROCESS_THREAD_COUNTERS; i++) {
		entry_print(counter_thread_name(i), counter_thread_meaning(i));
		printf("\n\n");
	}
}

static void nic_stats_print(void)
{
#define STAT(name, meaning)          \
	entry_print(#name, meaning); \
	printf("\n\n");
#include "nicdrv/virtio/vhost_net_stats.def"
#undef STAT
}

static void line_print(const char *line, const char *version)
{
	const char *mark;

	while ((mark = strstr(line, MARK))) {
		printf("%.*s%s", (int)(mark - line), line, version);
		line = mark + strlen(MARK);
	}
	fputs(line, stdout);
}

int main(int argc, char **argv)
{
	static const struct config none;
	char line[LINE_SIZE];

	if (argc != 2)
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "@settings@\n") == 0)
			config_each(&none, setting_print, NULL);
		else if (strcmp(line, "@counters@\n") == 0)
			counters_print();
		else if (strcmp(line, "@thread-counters@\n") == 0)
			thread_counters_print();
		else if (strcmp(line, "@nic-stats@\n") == 0)
			nic_stats_print();
		else
			line_print(line, argv[1]);
	}
	return ferror(stdin) || fflush(stdout) != 0;
}
