/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.h -- columns as wide as their widest cell, for people
 */
#ifndef APPS_COMMON_TABLE_H
#define APPS_COMMON_TABLE_H

#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMN_MAX 12

struct table;

/*
 * head: the columns' names, separated by '|'; one that begins with '>' is set to the right.
 * NULL: no line above the rows, and columns set to the left. Never NULL: ends the process when
 * there is no memory, as all of this does.
 */
struct table *table_new(const char *head);
struct table *table_free(struct table *table);

/*
 * One row; cells are separated by tabs. What is past the last column stays in it. Anything that a
 * terminal could take for a command is printed as '?'.
 */
void table_row(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each line after indent; with an empty line before it unless title is NULL. */
void table_print(const struct table *table, const char *title, const char *indent, FILE *out);

#endif
