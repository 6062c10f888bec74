/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.c -- the table of docs/transports.md, as the conformance suite asserts it
 *
 * The page is part of the program, so that no other page can be compared than the one that was there
 * when it was built. A row of it is "| TRANSPORT, CLASS | between | put | get | atomic | signal |".
 */
#include "tests/conformance/conform.h"

#include <stdio.h>

__asm__(".pushsection .rodata\n"
	"table_page:\n"
	".incbin \"" CONFORM_PAGE "\"\n"
	".byte 0\n"
	".popsection\n");
extern const char table_page[];

#define COLUMN_PUT 2
#define CELL_MAX 64

/* A cell of a row, without the blanks around it. False: the row has not so many, or too long. */
static bool cell_get(const char *row, unsigned int column, char ret_cell[CELL_MAX])
{
	size_t len;

	for (unsigned int i = 0; i <= column; i++) {
		row += strcspn(row, "|\n");
		if (*row != '|')
			return false;
		row++;
	}
	row += strspn(row, " ");
	len = strcspn(row, "|\n");
	while (len && row[len - 1] == ' ')
		len--;
	if (len == 0 || len >= CELL_MAX)
		return false;
	memcpy(ret_cell, row, len);
	ret_cell[len] = '\0';
	return true;
}

static const char *line_next(const char *line)
{
	line = strchr(line, '\n');
	return line ? line + 1 : NULL;
}

static bool cell_onesided(const char *row, unsigned int column, const char *name)
{
	char cell[CELL_MAX] = "";

	if (!cell_get(row, column, cell) || (strcmp(cell, "one-sided") && strcmp(cell, "served")))
		conform_fail(__FILE__, __LINE__, "docs/transports.md, %s: column %u is \"%s\"",
			     name, column, cell);
	return strcmp(cell, "one-sided") == 0;
}

void table_row(const char *transport, enum conform_class class, struct table_row *ret_row)
{
	char wanted[CELL_MAX], cell[CELL_MAX];

	snprintf(wanted, sizeof(wanted), "%s, %s", transport, class_name(class));
	for (const char *line = table_page; line; line = line_next(line)) {
		if (!cell_get(line, 0, cell) || strcmp(cell, wanted))
			continue;
		ret_row->put = cell_onesided(line, COLUMN_PUT, wanted);
		ret_row->get = cell_onesided(line, COLUMN_PUT + 1, wanted);
		ret_row->atomic = cell_onesided(line, COLUMN_PUT + 2, wanted);
		ret_row->signal = cell_onesided(line, COLUMN_PUT + 3, wanted);
		return;
	}
	conform_fail(__FILE__, __LINE__, "docs/transports.md has no row \"%s\"", wanted);
}

void table_check(void)
{
	static const char *const known[] = { CONFORM_ROWS };
	const size_t count = sizeof(known) / sizeof(known[0]);
	unsigned int rows = 0;
	char cell[CELL_MAX];

	for (const char *line = table_page; line; line = line_next(line)) {
		size_t i = 0;

		if (!cell_get(line, 0, cell) || !strchr(cell, ','))
			continue;
		while (i < count && strcmp(known[i], cell))
			i++;
		if (i == count)
			conform_fail(__FILE__, __LINE__,
				     "docs/transports.md has the row \"%s\", which is not played",
				     cell);
		rows++;
	}
	/* Each that is known has a row, and no row is there twice. */
	CHECK(rows == count);
}
