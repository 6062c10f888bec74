/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire.h -- the text of PMI-1: lines of blank-separated key=value, blobs as hex
 *
 * Pure functions, used by both ends: the client here and the server in farbus-run.
 * Threads: any thread.
 */
#ifndef RUNTIME_BOOT_WIRE_H
#define RUNTIME_BOOT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_LINE_MAX 4096  /* with its newline; the longest honest line is about 1500 */
#define WIRE_NAME_MAX 256   /* a kvs name with its NUL */
#define WIRE_KEY_MAX 64	    /* a key with its NUL, as Hydra and Slurm have it */
#define WIRE_VALUE_MAX 1024 /* a value with its NUL, likewise */

/*
 * The value of key= in a line (no newline). Nothing is written on failure.
 * Errors: -ENOENT no such key, -EMSGSIZE longer than size - 1.
 */
int wire_text(const char *line, const char *key, char *ret_value, size_t size);
/* Errors: -ENOENT, -EINVAL not a decimal number, -ERANGE outside min..max. */
int wire_number(const char *line, const char *key, int64_t min, int64_t max, int64_t *ret_number);

/* A whole text as a decimal number. Errors: -EINVAL, -ERANGE. */
int wire_number_parse(const char *text, int64_t min, int64_t max, int64_t *ret_number);

/* ret_text has room for 2 * len + 1. */
void wire_hex(const void *blob, size_t len, char *ret_text);
/* Errors: -EINVAL odd length or no hex digit, -EMSGSIZE more than size bytes. */
int wire_unhex(const char *text, void *ret_blob, size_t size, size_t *ret_len);

/*
 * Which ranks share rank's node, from PMI_process_mapping: "(vector,(node,nodes,ranks),...)",
 * blocks of ranks dealt to nodes node, node + 1, ... in turn, from the start again when used up.
 * Errors: -EINVAL not of that form, or rank not below size.
 */
int wire_mapping(const char *text, uint32_t rank, uint32_t size, uint32_t *ret_local_rank,
		 uint32_t *ret_local_size);

#endif
