/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * document.h -- what an instance says about itself (runtime/info.c): checked, printed, traced
 */
#ifndef APPS_FARBUS_INFO_DOCUMENT_H
#define APPS_FARBUS_INFO_DOCUMENT_H

#include <jansson.h>
#include <stdint.h>

/*
 * Every field that the functions below read is there and has its type, numbers are not negative,
 * addresses are hex, and no text has anything but printable ASCII. More fields are allowed.
 * Errors: -EPROTO, with the field named.
 */
int document_check(const json_t *document);

/* For people. Only of a document that was checked, as all below. */
void document_print(const json_t *document);

uint64_t document_number(const json_t *object, const char *name);
uint64_t document_hex(const json_t *object, const char *name);
const char *document_text(const json_t *object, const char *name);

/* The element of a list of the document whose field has this number. NULL: none. */
const json_t *document_find(const json_t *document, const char *list, const char *name,
			    uint64_t number);

#endif
