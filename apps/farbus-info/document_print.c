/* SPDX-License-Identifier: BSD-3-Clause */
/* document_print.c -- what an instance says about itself, as tables */
#include "apps/common/table.h"
#include "apps/farbus-info/document.h"
#include <stdio.h>

static unsigned long long number(const json_t *object, const char *name)
{
	return document_number(object, name);
}

static unsigned long long hex(const json_t *object, const char *name)
{
	return document_hex(object, name);
}

static const char *onesided(const json_t *import, const char *name)
{
	const json_t *bits = json_object_get(import, "onesided");

	return json_is_true(json_object_get(bits, name)) ? name : "-";
}

static void regions_print(const json_t *regions)
{
	struct table *table = table_new("region|>bytes|>page|>generation|address|mappable|>grants");
	struct table *grants =
		table_new("region|>grant|>made from|>offset|>bytes|rights|access|state|>imports");
	const json_t *region, *grant;
	size_t i, j;

	json_array_foreach(regions, i, region)
	{
		const json_t *list = json_object_get(region, "grants");

		table_row(table, "%llx\t%llu\t%llu\t%llu\t0x%llx\t%s\t%zu", hex(region, "id"),
			  number(region, "len"), number(region, "page_size"),
			  number(region, "generation"), hex(region, "va"),
			  json_is_true(json_object_get(region, "mappable")) ? "yes" : "no",
			  json_array_size(list));
		json_array_foreach(list, j, grant)
		{
			table_row(grants, "%llx\t%llu\t%llu\t%llu\t%llu\t%s\t%s\t%s\t%llu",
				  hex(region, "id"), number(grant, "grant"),
				  number(grant, "parent"), number(grant, "off"),
				  number(grant, "len"), document_text(grant, "rights"),
				  json_is_true(json_object_get(grant, "served")) ? "served" :
										   "mappable",
				  document_text(grant, "state"), number(grant, "imports"));
		}
	}
	table_print(table, "Own regions", "  ", stdout);
	table_print(grants, "Grants (made from 0: by the owner)", "  ", stdout);
	table_free(table);
	table_free(grants);
}

static void imports_print(const json_t *imports)
{
	struct table *table = table_new("import|region|>offset|>bytes|rights|>home rank|path|"
					"one-sided|transport|status|why this path");
	const json_t *import;
	size_t i;

	json_array_foreach(imports, i, import)
	{
		table_row(table, "%llu\t%llx\t%llu\t%llu\t%s\t%llu\t%s\t%s %s %s\t%s\t%s\t%s",
			  number(import, "import"), hex(import, "region"), number(import, "off"),
			  number(import, "len"), document_text(import, "rights"),
			  number(import, "home_rank"), document_text(import, "path"),
			  onesided(import, "put"), onesided(import, "get"),
			  onesided(import, "atomic"), document_text(import, "transport"),
			  document_text(import, "status"), document_text(import, "why"));
	}
	table_print(table, "Imports", "  ", stdout);
	table_free(table);
}

static void windows_print(const json_t *windows)
{
	struct table *table = table_new("from|to|>bytes|import|>offset|rights|state");
	const json_t *window;
	size_t i;

	json_array_foreach(windows, i, window)
	{
		table_row(table, "0x%llx\t0x%llx\t%llu\t%llu\t%llu\t%s\t%s", hex(window, "va"),
			  hex(window, "va") + number(window, "len"), number(window, "len"),
			  number(window, "import"), number(window, "off"),
			  document_text(window, "rights"), document_text(window, "state"));
	}
	table_print(table, "Windows (own regions among them)", "  ", stdout);
	table_free(table);
}

static void transports_print(const json_t *transports)
{
	struct table *table = table_new("transport|listens at");
	const json_t *transport;
	size_t i;

	json_array_foreach(transports, i, transport)
	{
		table_row(table, "%s\t%s", document_text(transport, "name"),
			  document_text(transport, "locator"));
	}
	table_print(table, "Transports in use", "  ", stdout);
	table_free(table);
}

static void links_print(const json_t *links)
{
	struct table *table = table_new(">rank|transport|>queued bytes|why this transport");
	const json_t *link;
	size_t i;

	json_array_foreach(links, i, link)
	{
		table_row(table, "%llu\t%s\t%llu\t%s", number(link, "rank"),
			  document_text(link, "transport"), number(link, "queued"),
			  document_text(link, "why"));
	}
	table_print(table, "Connections", "  ", stdout);
	table_free(table);
}

void document_print(const json_t *document)
{
	printf("PID %llu, instance %llu: rank %llu of %llu, job %016llx, farbus %s\n",
	       number(document, "pid"), number(document, "instance"), number(document, "rank"),
	       number(document, "size"), hex(document, "job"), document_text(document, "version"));
	transports_print(json_object_get(document, "transports"));
	regions_print(json_object_get(document, "regions"));
	imports_print(json_object_get(document, "imports"));
	windows_print(json_object_get(document, "windows"));
	links_print(json_object_get(document, "links"));
}
