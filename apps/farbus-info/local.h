/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * local.h -- what this build of farbus is, and what this machine gives it
 */
#ifndef APPS_FARBUS_INFO_LOCAL_H
#define APPS_FARBUS_INFO_LOCAL_H

#include <jansson.h>
#include <stdbool.h>

/*
 * {"farbus": {...}, "settings": [...], "transports": [...], "limits": [...]}. A setting that is
 * refused: *ret_refused is set, with the text in error_text(), and every "value" is null.
 * Errors: -ENOMEM.
 */
int local_new(json_t **ret_local, bool *ret_refused);

void local_print(const json_t *local);

#endif
