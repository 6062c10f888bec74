/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * absent_audit.c -- for LD_AUDIT: libraries whose names are in ABSENT are not installed
 *
 * The loader is told so wherever it looks, and gives its own error as it does for a package that is
 * missing. ABSENT: names with spaces between.
 */
#define _GNU_SOURCE
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned int la_version(unsigned int version)
{
	return version < LAV_CURRENT ? version : LAV_CURRENT;
}

static bool absent(const char *name)
{
	const char *list = getenv("ABSENT"), *at = list;
	size_t len = strlen(name);

	for (; at && *at; at += strcspn(at, " "), at += *at == ' ')
		if (strncmp(at, name, len) == 0 && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

char *la_objsearch(const char *name, uintptr_t *cookie, unsigned int flag)
{
	const char *slash = strrchr(name, '/');

	(void)cookie;
	(void)flag;
	return absent(slash ? slash + 1 : name) ? NULL : (char *)(uintptr_t)name;
}
