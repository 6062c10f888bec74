/* SPDX-License-Identifier: BSD-3-Clause */
/* document.c -- what an instance says about itself: the check, and the fields */
#include "apps/farbus-info/document.h"

#include "base/error.h"
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, HEX, TEXT, SWITCH, LIST, OBJECT };

struct field {
	const char *name;
	enum kind kind;
	const struct field *inner; /* LIST: of each element; OBJECT */
};

static const struct field grant_fields[] = {
	{ "grant", NUMBER, NULL }, { "parent", NUMBER, NULL },	{ "off", NUMBER, NULL },
	{ "len", NUMBER, NULL },   { "rights", TEXT, NULL },	{ "served", SWITCH, NULL },
	{ "state", TEXT, NULL },   { "imports", NUMBER, NULL }, { NULL, NUMBER, NULL },
};

static const struct field region_fields[] = {
	{ "id", HEX, NULL },	       { "import", NUMBER, NULL },	 { "len", NUMBER, NULL },
	{ "page_size", NUMBER, NULL }, { "generation", NUMBER, NULL },	 { "va", HEX, NULL },
	{ "mappable", SWITCH, NULL },  { "grants", LIST, grant_fields }, { NULL, NUMBER, NULL },
};

static const struct field onesided_fields[] = {
	{ "put", SWITCH, NULL },
	{ "get", SWITCH, NULL },
	{ "atomic", SWITCH, NULL },
	{ NULL, NUMBER, NULL },
};

static const struct field import_fields[] = {
	{ "import", NUMBER, NULL },
	{ "region", HEX, NULL },
	{ "off", NUMBER, NULL },
	{ "len", NUMBER, NULL },
	{ "rights", TEXT, NULL },
	{ "home_rank", NUMBER, NULL },
	{ "home_instance", NUMBER, NULL },
	{ "path", TEXT, NULL },
	{ "why", TEXT, NULL },
	{ "onesided", OBJECT, onesided_fields },
	{ "transport", TEXT, NULL },
	{ "status", TEXT, NULL },
	{ NULL, NUMBER, NULL },
};

static const struct field window_fields[] = {
	{ "va", HEX, NULL },	    { "len", NUMBER, NULL },  { "off", NUMBER, NULL },
	{ "import", NUMBER, NULL }, { "rights", TEXT, NULL }, { "state", TEXT, NULL },
	{ NULL, NUMBER, NULL },
};

static const struct field link_fields[] = {
	{ "rank", NUMBER, NULL },   { "transport", TEXT, NULL }, { "why", TEXT, NULL },
	{ "queued", NUMBER, NULL }, { NULL, NUMBER, NULL },
};

static const struct field transport_fields[] = {
	{ "name", TEXT, NULL },
	{ "locator", TEXT, NULL },
	{ NULL, NUMBER, NULL },
};

static const struct field document_fields[] = {
	{ "pid", NUMBER, NULL },
	{ "rank", NUMBER, NULL },
	{ "size", NUMBER, NULL },
	{ "instance", NUMBER, NULL },
	{ "incarnation", NUMBER, NULL },
	{ "job", HEX, NULL },
	{ "version", TEXT, NULL },
	{ "transports", LIST, transport_fields },
	{ "regions", LIST, region_fields },
	{ "imports", LIST, import_fields },
	{ "windows", LIST, window_fields },
	{ "links", LIST, link_fields },
	{ NULL, NUMBER, NULL },
};

static bool hex_parse(const char *text, uint64_t *ret_value)
{
	char *end;

	if (text[0] == '0' && text[1] == 'x')
		text += 2;
	if (strcmp(text, "(nil)") == 0)
		text = "0";
	if (!isxdigit((unsigned char)text[0]) || strlen(text) > 16)
		return false;
	*ret_value = strtoull(text, &end, 16);
	return *end == '\0';
}

static bool value_good(const json_t *value, enum kind kind)
{
	uint64_t number;

	switch (kind) {
	case NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case HEX:
		return json_is_string(value) && hex_parse(json_string_value(value), &number);
	case TEXT:
		return json_is_string(value);
	case SWITCH:
		return json_is_boolean(value);
	case LIST:
		return json_is_array(value);
	case OBJECT:
		return json_is_object(value);
	}
	return false;
}

static int fields_check(const json_t *object, const struct field *field)
{
	size_t i;
	json_t *element;
	int err = 0;

	for (; field->name && err == 0; field++) {
		const json_t *value = json_object_get(object, field->name);

		if (!value_good(value, field->kind))
			return error_set(-EPROTO,
					 "its answer has no usable field %s: use the farbus-info "
					 "of its farbus",
					 field->name);
		if (field->kind == OBJECT)
			err = fields_check(value, field->inner);
		if (field->kind != LIST)
			continue;
		json_array_foreach(value, i, element)
		{
			err = fields_check(element, field->inner);
			if (err < 0)
				break;
		}
	}
	return err;
}

/* Nothing that a terminal, or whoever reads our lines, could take for something else. */
static bool texts_good(const json_t *value)
{
	const char *key;
	json_t *inner;
	size_t i;

	if (json_is_string(value)) {
		const char *text = json_string_value(value);

		for (i = 0; i < json_string_length(value); i++)
			if (text[i] < ' ' || text[i] > '~')
				return false;
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, inner)
	{
		if (!texts_good(inner))
			return false;
	}
	json_array_foreach(value, i, inner)
	{
		if (!texts_good(inner))
			return false;
	}
	return true;
}

int document_check(const json_t *document)
{
	if (!json_is_object(document))
		return error_set(-EPROTO, "its answer is no JSON object: use the farbus-info of "
					  "its farbus");
	if (!texts_good(document))
		return error_set(-EPROTO, "its answer has characters that cannot be printed");
	return fields_check(document, document_fields);
}

uint64_t document_number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

uint64_t document_hex(const json_t *object, const char *name)
{
	uint64_t value = 0;
	const char *text = json_string_value(json_object_get(object, name));

	return text && hex_parse(text, &value) ? value : 0;
}

const char *document_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "?";
}

const json_t *document_find(const json_t *document, const char *list, const char *name,
			    uint64_t number)
{
	json_t *element;
	size_t i;

	json_array_foreach(json_object_get(document, list), i, element)
	{
		if (document_number(element, name) == number)
			return element;
	}
	return NULL;
}
