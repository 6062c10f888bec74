/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.c -- columns as wide as their widest cell, for people
 *
 * Invariants:
 *   1. cells has columns entries per row, each owned.
 *   2. width[i] is that of the widest cell of column i.
 */
#include "apps/common/table.h"

#include "base/alloc.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_STEP 64

struct table {
	size_t columns, count, room; /* count and room: cells */
	size_t width[TABLE_COLUMN_MAX];
	bool right[TABLE_COLUMN_MAX];
	char **cells;
};

static void *must(void *memory)
{
	if (!memory) {
		fputs("no memory for a table\n", stderr);
		exit(1);
	}
	return memory;
}

static void cell_add(struct table *table, const char *text, size_t len)
{
	size_t column = table->count % table->columns;
	char *cell = must(alloc_zero(len + 1));

	for (size_t i = 0; i < len; i++)
		cell[i] = text[i] >= ' ' && text[i] < 0x7f ? text[i] : '?';
	if (table->count == table->room) {
		table->room += ROOM_STEP;
		table->cells = must(alloc_resize(table->cells, table->room, sizeof(char *)));
	}
	table->cells[table->count++] = cell;
	if (len > table->width[column])
		table->width[column] = len;
}

/* A row of exactly table->columns cells out of text. */
static void row_add(struct table *table, const char *text, char separator)
{
	for (size_t i = 0; i < table->columns; i++) {
		const char *end = i + 1 < table->columns ? strchr(text, separator) : NULL;
		size_t len = end ? (size_t)(end - text) : strlen(text);

		cell_add(table, text, len);
		text += end ? len + 1 : len;
	}
}

struct table *table_new(const char *head)
{
	struct table *table = must(alloc_zero(sizeof(*table)));
	char *names, *from, *to;

	if (!head)
		return table;
	from = to = names = must(alloc_text(head));
	table->columns = 1;
	for (; *from; from++) {
		if (*from == '|' && table->columns < TABLE_COLUMN_MAX)
			table->columns++;
		if (*from == '>')
			table->right[table->columns - 1] = true;
		else
			*to++ = *from;
	}
	*to = '\0';
	row_add(table, names, '|');
	free(names);
	return table;
}

struct table *table_free(struct table *table)
{
	if (!table)
		return NULL;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
	return NULL;
}

void table_row(struct table *table, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	must(text);
	if (table->columns == 0) {
		table->columns = 1;
		for (const char *at = text; *at; at++)
			table->columns += *at == '\t' && table->columns < TABLE_COLUMN_MAX;
	}
	row_add(table, text, '\t');
	free(text);
}

/* No blanks after the last cell that has something. */
static void line_print(const struct table *table, size_t row, FILE *out)
{
	char *const *cell = &table->cells[row * table->columns];
	size_t last = table->columns - 1;

	while (last > 0 && !cell[last][0])
		last--;
	for (size_t i = 0; i < last; i++)
		fprintf(out, "%*s  ", (int)table->width[i] * (table->right[i] ? 1 : -1), cell[i]);
	fprintf(out, "%*s\n", table->right[last] ? (int)table->width[last] : 0, cell[last]);
}

void table_print(const struct table *table, const char *title, const char *indent, FILE *out)
{
	if (title)
		fprintf(out, "\n%s\n", title);
	for (size_t row = 0; table->columns && row < table->count / table->columns; row++) {
		fputs(indent, out);
		line_print(table, row, out);
	}
}
