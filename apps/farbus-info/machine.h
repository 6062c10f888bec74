/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.h -- limits of this machine, user and container that decide what farbus can do here */
#ifndef APPS_FARBUS_INFO_MACHINE_H
#define APPS_FARBUS_INFO_MACHINE_H

#include <jansson.h>

/* [{"name", "value", "good", "meaning"}, ...]; "meaning" says what to do if it is not good. */
json_t *machine_new(void);

#endif
