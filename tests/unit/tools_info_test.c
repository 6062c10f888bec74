/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_info_test.c -- what farbus-info takes from the kernel and from instances */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/common/live.h"
#include "apps/common/table.h"
#include "apps/farbus-info/document.h"
#include "apps/farbus-info/options.h"
#include "apps/farbus-info/peer.h"
#include "apps/farbus-info/trace.h"
#include "base/error.h"

#define LISTENING "0000000000000000: 00000002 00000000 00010000 0001 01 20558 "

static void live_line_parse__good__pid_and_instance(void **state)
{
	struct live live;

	(void)state;
	assert_true(live_line_parse(LISTENING "@farbus-info.1234.4294967295\n", &live));
	assert_int_equal(live.pid, 1234);
	assert_int_equal(live.instance, UINT32_MAX);
	assert_true(live_line_parse(LISTENING "@farbus-info.2147483647.1", &live));
	assert_int_equal(live.pid, 2147483647);
}

static void live_line_parse__anything_else__false_and_untouched(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"Num       RefCount Protocol Flags    Type St Inode Path\n",
		LISTENING "\n",
		LISTENING "/run/farbus-info.1.2\n",
		LISTENING "farbus-info.1.2\n",
		LISTENING "@farbus-info.\n",
		LISTENING "@farbus-info.1\n",
		LISTENING "@farbus-info.1.\n",
		LISTENING "@farbus-info.1.2.3\n",
		LISTENING "@farbus-info.1.2 \n",
		LISTENING "@farbus-info.1.2x\n",
		LISTENING "@farbus-info..2\n",
		LISTENING "@farbus-info.0.2\n",
		LISTENING "@farbus-info.01.2\n",
		LISTENING "@farbus-info.1.0\n",
		LISTENING "@farbus-info.-1.2\n",
		LISTENING "@farbus-info.+1.2\n",
		LISTENING "@farbus-info.2147483648.2\n",
		LISTENING "@farbus-info.1.4294967296\n",
		LISTENING "@farbus-info.99999999999999999999999.1\n",
		LISTENING "@farbus-infos.1.2\n",
		/* the accepted end of a connection has the same name */
		"0000000000000000: 00000003 00000000 00000000 0001 03 20558 @farbus-info.1.2\n",
		"@farbus-info.1.2\n",
		"a b c 10000 @farbus-info.1.2\n",
	};
	struct live live = { 5, 6 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (live_line_parse(bad[i], &live))
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(live.pid, 5);
	assert_int_equal(live.instance, 6);
}

static void live_list__file__sorted_and_complete(void **state)
{
	char path[] = "/tmp/farbus-tools-XXXXXX";
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");
	struct live *list;
	size_t count;

	(void)state;
	assert_non_null(file);
	fputs("Num       RefCount Protocol Flags    Type St Inode Path\n", file);
	for (int i = 200; i > 0; i--)
		fprintf(file, LISTENING "@farbus-info.%d.%d\n", 1 + i / 2, 1 + i % 2);
	fclose(file);
	assert_int_equal(live_list(path, &list, &count), 0);
	unlink(path);
	assert_int_equal(count, 200);
	for (size_t i = 1; i < count; i++)
		assert_true(list[i - 1].pid < list[i].pid ||
			    (list[i - 1].pid == list[i].pid &&
			     list[i - 1].instance < list[i].instance));
	free(list);
	assert_int_equal(live_list(path, &list, &count), -ENOENT);
	assert_non_null(strstr(error_text(), path));
}

#define OWN                                                                                    \
	"{\"id\":\"500000001\",\"import\":1,\"len\":8192,\"page_size\":4096,\"generation\":0," \
	"\"va\":\"0x7f0000000000\",\"mappable\":true,\"grants\":[{\"grant\":1,\"parent\":0,"   \
	"\"off\":0,\"len\":8192,\"rights\":\"RW---\",\"served\":false,\"state\":\"live\","     \
	"\"imports\":1}]}"
#define IMPORT                                                                                   \
	"{\"import\":2,\"region\":\"600000001\",\"off\":4096,\"len\":4096,\"rights\":\"RW---\"," \
	"\"home_rank\":1,\"home_instance\":6,\"path\":\"mapped\",\"why\":\"same host\","         \
	"\"onesided\":{\"put\":true,\"get\":true,\"atomic\":false},\"transport\":\"shm\","       \
	"\"status\":\"success\"}"
#define WINDOWS                                                                              \
	"{\"va\":\"7f0000000000\",\"len\":8192,\"off\":0,\"import\":1,\"rights\":\"RW---\"," \
	"\"state\":\"ready\"},{\"va\":\"7f1000000000\",\"len\":4096,\"off\":0,\"import\":2," \
	"\"rights\":\"RW---\",\"state\":\"ready\"},{\"va\":\"7f2000000000\",\"len\":4096,"   \
	"\"off\":0,\"import\":3,\"rights\":\"R----\",\"state\":\"dead\"}"
#define DOCUMENT                                                                                                                     \
	"{\"pid\":10,\"rank\":0,\"size\":2,\"instance\":5,\"incarnation\":1,"                                                        \
	"\"job\":\"00000000000000aa\",\"version\":\"0.1.0\",\"transports\":[{\"name\":\"shm\",\"locator\":\"x\"}],\"regions\":[" OWN \
	"],\"imports\":[" IMPORT "],\"windows\":[" WINDOWS "],\"links\":[{\"rank\":1,"                                               \
	"\"transport\":\"shm\",\"why\":\"same host\",\"queued\":0}]}\n"

static json_t *document_new(void)
{
	json_t *document = NULL;

	assert_int_equal(peer_answer_parse(DOCUMENT, strlen(DOCUMENT), &document), 0);
	return document;
}

static void peer_answer_parse__good__taken_and_printable(void **state)
{
	json_t *document = document_new();

	(void)state;
	assert_int_equal(document_number(document, "pid"), 10);
	assert_true(document_hex(document, "job") == 0xaa);
	assert_string_equal(document_text(document, "version"), "0.1.0");
	document_print(document);
	json_decref(document);
}

static void peer_answer_parse__every_cut__eproto(void **state)
{
	json_t *document = NULL;

	(void)state;
	for (size_t len = 0; len < strlen(DOCUMENT) - 1; len++) {
		char *copy = malloc(len ? len : 1);

		memcpy(copy, DOCUMENT, len);
		assert_int_equal(peer_answer_parse(copy, len, &document), -EPROTO);
		free(copy);
	}
	assert_null(document);
}

/* Each field of every level in turn is taken away, and then made something else. */
static void fields_break(json_t *document, json_t *object)
{
	const char *name;
	json_t *value, *inner;
	size_t i;

	json_t *names = json_object();

	json_object_update(names, object);
	json_object_foreach(names, name, value)
	{
		json_t *kept = json_incref(value);

		json_object_del(object, name);
		assert_int_equal(document_check(document), -EPROTO);
		assert_non_null(strstr(error_text(), name));
		json_object_set_new(object, name, json_integer(-1));
		assert_int_equal(document_check(document), -EPROTO);
		json_object_set_new(object, name, json_null());
		assert_int_equal(document_check(document), -EPROTO);
		json_object_set_new(object, name, kept);
		assert_int_equal(document_check(document), 0);
		json_array_foreach(value, i, inner)
		{
			fields_break(document, inner);
		}
		if (json_is_object(value))
			fields_break(document, value);
	}
	json_decref(names);
}

static void document_check__each_field_missing_or_wrong__it_is_named(void **state)
{
	json_t *document = document_new();

	(void)state;
	fields_break(document, document);
	json_object_set_new(document, "more", json_string("a field of a newer farbus"));
	assert_int_equal(document_check(document), 0);
	json_decref(document);
}

static void document_check__bad_text__eproto(void **state)
{
	static const char *const bad[] = { "\x1b[2J", "a\nb", "\xc2\x9b", "caf\xc3\xa9", "\t" };
	json_t *document = document_new();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object_set_new(document, "version", json_string(bad[i]));
		assert_int_equal(document_check(document), -EPROTO);
	}
	json_object_set_new(document, "version", json_string("1"));
	assert_int_equal(document_check(document), 0);
	json_object_set_new(document, "job", json_string("xyz"));
	assert_int_equal(document_check(document), -EPROTO);
	json_object_set_new(document, "job", json_string("11112222333344445"));
	assert_int_equal(document_check(document), -EPROTO);
	json_decref(document);
}

static void trace_new__own_memory__home_is_here(void **state)
{
	json_t *document = document_new(), *trace = NULL, *home;

	(void)state;
	assert_int_equal(trace_new(document, 0x7f0000001ffe, &trace), 0);
	home = json_object_get(trace, "home");
	assert_int_equal(document_number(home, "pid"), 10);
	assert_true(document_hex(home, "va") == 0x7f0000001ffe);
	assert_true(document_hex(json_object_get(trace, "bus"), "region") == 0x500000001);
	assert_true(document_hex(json_object_get(trace, "bus"), "off") == 0x1ffe);
	trace_print(trace);
	json_decref(trace);
	json_decref(document);
}

static void trace_new__import__bus_address_then_home(void **state)
{
	json_t *document = document_new(), *trace = NULL, *home;

	(void)state;
	assert_int_equal(trace_new(document, 0x7f1000000010, &trace), 0);
	home = json_object_get(trace, "home");
	assert_int_equal(document_number(home, "instance"), 6);
	assert_null(json_object_get(home, "pid"));
	assert_true(document_hex(json_object_get(trace, "bus"), "off") == 4096 + 0x10);
	trace_print(trace);
	/* The home says where its region is. */
	json_object_set_new(document, "pid", json_integer(11));
	json_object_set_new(json_array_get(json_object_get(document, "regions"), 0), "id",
			    json_string("600000001"));
	trace_home_add(trace, document);
	assert_int_equal(document_number(home, "pid"), 11);
	assert_true(document_hex(home, "va") == 0x7f0000001010);
	trace_print(trace);
	json_decref(trace);
	json_decref(document);
}

static void trace_new__edges__enoent(void **state)
{
	static const uint64_t outside[] = {
		0, 0x7effffffffff, 0x7f0000002000, 0x7f0fffffffff, 0x7f1000001000, UINT64_MAX
	};
	json_t *document = document_new(), *trace = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		assert_int_equal(trace_new(document, outside[i], &trace), -ENOENT);
	/* A window whose import is in no list. */
	assert_int_equal(trace_new(document, 0x7f2000000000, &trace), -EPROTO);
	assert_null(trace);
	json_decref(document);
}

static void options_name_parse__boundaries__pid_and_instance(void **state)
{
	static const char *const bad[] = { "",
					   ".",
					   "0",
					   "1.",
					   "1.0",
					   "-1",
					   "x",
					   "1.x",
					   "1.1.1",
					   "2147483648",
					   "1.4294967296",
					   "1 ",
					   "12345678901234567" };
	uint32_t instance = 9;
	pid_t pid = 9;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(options_name_parse(bad[i], &pid, &instance), -EINVAL);
	assert_int_equal(pid, 9);
	assert_int_equal(options_name_parse("17", &pid, &instance), 0);
	assert_int_equal(pid, 17);
	assert_int_equal(instance, 0);
	assert_int_equal(options_name_parse("17.4294967295", &pid, &instance), 0);
	assert_true(instance == UINT32_MAX);
}

static void table_print__cells__aligned_and_harmless(void **state)
{
	struct table *table = table_new("a|>b|c");
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	table_row(table, "%s\t%d\t%s", "long\x1b", 7, "x\ty\xff");
	table_row(table, "z");
	table_print(table, NULL, " ", out);
	table_free(table);
	fclose(out);
	assert_string_equal(text, " a      b  c\n long?  7  x?y?\n z\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_line_parse__good__pid_and_instance),
		cmocka_unit_test(live_line_parse__anything_else__false_and_untouched),
		cmocka_unit_test(live_list__file__sorted_and_complete),
		cmocka_unit_test(peer_answer_parse__good__taken_and_printable),
		cmocka_unit_test(peer_answer_parse__every_cut__eproto),
		cmocka_unit_test(document_check__each_field_missing_or_wrong__it_is_named),
		cmocka_unit_test(document_check__bad_text__eproto),
		cmocka_unit_test(trace_new__own_memory__home_is_here),
		cmocka_unit_test(trace_new__import__bus_address_then_home),
		cmocka_unit_test(trace_new__edges__enoent),
		cmocka_unit_test(options_name_parse__boundaries__pid_and_instance),
		cmocka_unit_test(table_print__cells__aligned_and_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
