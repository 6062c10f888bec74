/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.c -- one address through every stage: window, import, bus address, home */
#include "apps/farbus-info/trace.h"

#include "apps/common/table.h"
#include "apps/farbus-info/document.h"
#include "base/error.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned long long number(const json_t *object, const char *name)
{
	return document_number(object, name);
}

static json_t *hex_new(uint64_t value, const char *format)
{
	char text[32];

	snprintf(text, sizeof(text), format, (unsigned long long)value);
	return json_string(text);
}

static const json_t *window_find(const json_t *document, uint64_t va)
{
	json_t *window;
	size_t i;

	json_array_foreach(json_object_get(document, "windows"), i, window)
	{
		uint64_t start = document_hex(window, "va");

		if (va >= start && va - start < document_number(window, "len"))
			return window;
	}
	return NULL;
}

/* Where the bytes are in the home's process; "?" until the home was asked. */
static json_t *home_new(const json_t *document, const json_t *import, bool own)
{
	if (own)
		return json_pack("{s:I,s:I}", "rank", (json_int_t)document_number(document, "rank"),
				 "instance", (json_int_t)document_number(document, "instance"));
	return json_pack("{s:I,s:I}", "rank", (json_int_t)document_number(import, "home_rank"),
			 "instance", (json_int_t)document_number(import, "home_instance"));
}

/* The stages after the window. entry: an import, or an own region. */
static int stages_add(json_t *trace, const json_t *document, const json_t *entry, bool own,
		      uint64_t off)
{
	uint64_t region = document_hex(entry, own ? "id" : "region");
	uint64_t base = own ? 0 : document_number(entry, "off");
	json_t *copy = json_deep_copy(entry);
	int err;

	if (copy && own)
		json_object_del(copy, "grants");
	err = json_object_set_new(trace, own ? "own_region" : "import", copy);
	err |= json_object_set_new(trace, "bus",
				   json_pack("{s:o,s:o}", "region", hex_new(region, "%llx"), "off",
					     hex_new(base + off, "%llx")));
	err |= json_object_set_new(trace, "home", home_new(document, entry, own));
	if (err)
		return error_set(-ENOMEM, "no memory for the trace");
	if (own)
		trace_home_add(trace, document);
	return 0;
}

int trace_new(const json_t *document, uint64_t va, json_t **ret_trace)
{
	const json_t *window = window_find(document, va), *entry;
	uint64_t import, off;
	json_t *trace;
	int err;

	if (!window)
		return error_set(-ENOENT,
				 "0x%llx is in no window and no own region of instance %llu; "
				 "farbus-info %llu lists them",
				 (unsigned long long)va, number(document, "instance"),
				 number(document, "pid"));
	import = document_number(window, "import");
	off = document_number(window, "off") + va - document_hex(window, "va");
	trace = json_pack("{s:o,s:I,s:I,s:o,s:O}", "va", hex_new(va, "%llx"), "pid",
			  (json_int_t)document_number(document, "pid"), "instance",
			  (json_int_t)document_number(document, "instance"), "off",
			  json_integer((json_int_t)off), "window", window);
	if (!trace)
		return error_set(-ENOMEM, "no memory for the trace");
	entry = document_find(document, "imports", "import", import);
	if (entry) {
		err = stages_add(trace, document, entry, false, off);
	} else {
		entry = document_find(document, "regions", "import", import);
		err = entry ? stages_add(trace, document, entry, true, off) :
			      error_set(-EPROTO,
					"the window's import %llu is not there: it is being "
					"released; try again",
					(unsigned long long)import);
	}
	if (err < 0) {
		json_decref(trace);
		return err;
	}
	*ret_trace = trace;
	return 0;
}

void trace_home_add(json_t *trace, const json_t *home)
{
	const json_t *bus = json_object_get(trace, "bus");
	json_t *at = json_object_get(trace, "home"), *region;
	size_t i;

	json_object_set_new(at, "pid", json_integer((json_int_t)document_number(home, "pid")));
	json_array_foreach(json_object_get(home, "regions"), i, region)
	{
		uint64_t va = document_hex(region, "va");

		if (document_hex(region, "id") == document_hex(bus, "region") && va)
			json_object_set_new(at, "va",
					    hex_new(va + document_hex(bus, "off"), "%llx"));
	}
}

void trace_print(const json_t *trace)
{
	struct table *table = table_new(NULL);
	const json_t *window = json_object_get(trace, "window");
	const json_t *import = json_object_get(trace, "import");
	const json_t *bus = json_object_get(trace, "bus"), *home = json_object_get(trace, "home");
	uint64_t start = document_hex(window, "va");

	table_row(table, "address\t0x%s in PID %llu, instance %llu", document_text(trace, "va"),
		  number(trace, "pid"), number(trace, "instance"));
	table_row(table, "window\t0x%llx to 0x%llx, %s, %s", (unsigned long long)start,
		  (unsigned long long)start + number(window, "len"),
		  document_text(window, "rights"), document_text(window, "state"));
	if (import)
		table_row(table, "import\t%llu, offset 0x%llx, %s, path %s over %s, %s",
			  number(import, "import"), number(trace, "off"),
			  document_text(import, "rights"), document_text(import, "path"),
			  document_text(import, "transport"), document_text(import, "status"));
	else
		table_row(table, "own region\tnumber %llu, offset 0x%llx", number(window, "import"),
			  number(trace, "off"));
	table_row(table, "bus address\t%s:%s", document_text(bus, "region"),
		  document_text(bus, "off"));
	if (!json_object_get(home, "pid"))
		table_row(table,
			  "home\trank %llu, instance %llu, which does not answer on this host",
			  number(home, "rank"), number(home, "instance"));
	else if (!json_object_get(home, "va"))
		table_row(table,
			  "home\trank %llu, instance %llu, PID %llu, which has no such region now",
			  number(home, "rank"), number(home, "instance"), number(home, "pid"));
	else
		table_row(table, "home\trank %llu, instance %llu, PID %llu, address 0x%s",
			  number(home, "rank"), number(home, "instance"), number(home, "pid"),
			  document_text(home, "va"));
	table_print(table, NULL, "", stdout);
	table_free(table);
}
