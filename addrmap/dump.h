/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump.h -- the map's tables as text, for tools: one line per entry, "kind name=value ..."
 *
 * No key and no MAC is ever written: a dump may be shown to anybody who may see addresses.
 * Numbers are decimal, addresses, offsets and lengths hexadecimal, regions "birth:serial".
 *
 * Threads: as for changing the table that is dumped. Errors: -EIO the output took not all of it.
 */
#ifndef ADDRMAP_DUMP_H
#define ADDRMAP_DUMP_H

#include "addrmap/export.h"
#include "addrmap/import.h"
#include "addrmap/window.h"
#include <stdio.h>

/* "window", by address. */
int dump_windows(FILE *out, const struct window_table *table);
/* "import", by index. */
int dump_imports(FILE *out, const struct import_table *table);
/* "region", by id, each followed by its "grant"s, parents first, and these by their "record"s. */
int dump_exports(FILE *out, struct export_table *table);

/*
 * How an access at va is translated, one line per table: "va", "import", "bus". Errors: also
 * -ENOENT va is in no window, or the window's import is gone; what was found until then is written.
 */
int dump_trace(FILE *out, const struct window_table *windows, const struct import_table *imports,
	       farbus_va_t va);

#endif
