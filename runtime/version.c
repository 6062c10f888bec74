/* SPDX-License-Identifier: BSD-3-Clause */
/* version.c -- the version of the library that is loaded */
#include <farbus/farbus.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *farbus_version(void)
{
	return TEXT(FARBUS_VERSION_MAJOR) "." TEXT(FARBUS_VERSION_MINOR) "." TEXT(
		FARBUS_VERSION_PATCH);
}
