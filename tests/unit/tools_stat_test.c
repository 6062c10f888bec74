/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_stat_test.c -- the reader of counter files */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apps/common/tool.h"
#include "apps/farbus-stat/counterfile.h"
#include "apps/farbus-stat/options.h"
#include "base/error.h"

struct image {
	uint8_t *data; /* exactly size bytes of heap, for sanitizers */
	size_t size;
};

static struct process_page *header(struct image *image)
{
	return (struct process_page *)(void *)image->data;
}

static struct image image_new(uint32_t counters, uint32_t slots)
{
	struct image image = { .size = PROCESS_PAGE_SLOT_OFF +
				       slots * sizeof(struct process_slot) };

	image.data = calloc(1, image.size);
	assert_non_null(image.data);
	*header(&image) = (struct process_page){
		.magic = PROCESS_PAGE_MAGIC,
		.version = PROCESS_PAGE_VERSION,
		.pid = 42,
		.start_ns = 7,
		.counter_off = PROCESS_PAGE_COUNTER_OFF,
		.counter_count = counters,
		.slot_off = PROCESS_PAGE_SLOT_OFF,
		.slot_count = slots,
		.slot_size = sizeof(struct process_slot),
		.thread_counter_count = PROCESS_THREAD_COUNTERS,
	};
	return image;
}

static uint64_t *counter_at(struct image *image, size_t i)
{
	return (uint64_t *)(void *)(image->data + PROCESS_PAGE_COUNTER_OFF) + i;
}

static struct process_slot *slot_at(struct image *image, size_t i)
{
	return (struct process_slot *)(void *)(image->data + PROCESS_PAGE_SLOT_OFF) + i;
}

static void refused(struct image *image, size_t size, const char *text)
{
	struct counterfile file;
	uint8_t *copy = malloc(size ? size : 1);

	memset(&file, 0x5a, sizeof(file));
	memcpy(copy, image->data, size);
	error_clear();
	assert_int_equal(counterfile_parse("NAME", copy, size, &file), -EPROTO);
	if (!strstr(error_text(), text))
		fail_msg("'%s' is not in '%s'", text, error_text());
	assert_int_equal(strncmp(error_text(), "NAME: ", 6), 0);
	/* Written only on success. */
	assert_int_equal(file.pid, 0x5a5a5a5a);
	free(copy);
}

static void counterfile_parse__good__every_count_at_its_place(void **state)
{
	struct image image = image_new(COUNTER_MAX, 3);
	struct counterfile file;
	char name[COUNTERFILE_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNTER_MAX; i++)
		*counter_at(&image, i) = 1000 + i;
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < PROCESS_THREAD_COUNTERS; j++)
			slot_at(&image, i)->counter[j] = (j + 1) << (8 * i);
	slot_at(&image, 1)->tid = 99;
	assert_int_equal(counterfile_parse("x", image.data, image.size, &file), 0);
	assert_int_equal(file.pid, 42);
	assert_int_equal(file.start_ns, 7);
	assert_int_equal(file.thread_count, 1);
	assert_int_equal(counterfile_rows(&file), PROCESS_THREAD_COUNTERS + COUNTER_MAX);
	for (size_t j = 0; j < PROCESS_THREAD_COUNTERS; j++)
		assert_int_equal(counterfile_value(&file, j), (j + 1) * 0x10101);
	for (size_t i = 0; i < COUNTER_MAX; i++) {
		assert_int_equal(counterfile_value(&file, PROCESS_THREAD_COUNTERS + i), 1000 + i);
		counterfile_name(PROCESS_THREAD_COUNTERS + i, name);
		assert_string_equal(name, counter_name((enum counter)i));
	}
	counterfile_name(PROCESS_PUT_OPS, name);
	assert_string_equal(name, "put_ops");
	free(image.data);
}

static void counterfile_parse__instances__open_and_closed_rows_are_kept(void **state)
{
	struct image image = image_new(1, 0);
	struct counterfile file;

	(void)state;
	header(&image)->instance[3] = (struct process_instance){ 5, 77, 1 };
	header(&image)->instance[63] = (struct process_instance){ 5, 0, 2 };
	assert_int_equal(counterfile_parse("x", image.data, image.size, &file), 0);
	assert_int_equal(file.instance_count, 2);
	assert_int_equal(file.instance[0].instance, 77);
	assert_int_equal(file.instance[1].rank, 2);
	for (int i = 0; i < PROCESS_INSTANCE_MAX; i++)
		header(&image)->instance[i] = (struct process_instance){ 5, 1 + (uint32_t)i, 1 };
	assert_int_equal(counterfile_parse("x", image.data, image.size, &file), 0);
	assert_int_equal(file.instance_count, PROCESS_INSTANCE_MAX);
	free(image.data);
}

static void counterfile_parse__older_file__missing_counters_are_zero(void **state)
{
	struct image image = image_new(2, 1);
	struct counterfile file;

	(void)state;
	header(&image)->thread_counter_count = 3;
	for (size_t i = 0; i < COUNTER_MAX; i++)
		*counter_at(&image, i) = 5; /* past the second: not counters in that version */
	for (size_t j = 0; j < PROCESS_THREAD_COUNTERS; j++)
		slot_at(&image, 0)->counter[j] = 9;
	assert_int_equal(counterfile_parse("x", image.data, image.size, &file), 0);
	assert_int_equal(counterfile_rows(&file), PROCESS_THREAD_COUNTERS + COUNTER_MAX);
	assert_int_equal(counterfile_value(&file, 2), 9);
	assert_int_equal(counterfile_value(&file, 3), 0);
	assert_int_equal(counterfile_value(&file, PROCESS_THREAD_COUNTERS + 1), 5);
	assert_int_equal(counterfile_value(&file, PROCESS_THREAD_COUNTERS + 2), 0);
	free(image.data);
}

static void counterfile_parse__newer_file__nameless_counters_are_shown(void **state)
{
	struct image image = image_new(COUNTERFILE_COUNTER_MAX, 0);
	struct counterfile file;
	char name[COUNTERFILE_NAME_SIZE];
	size_t last = PROCESS_THREAD_COUNTERS + COUNTERFILE_COUNTER_MAX - 1;

	(void)state;
	*counter_at(&image, COUNTERFILE_COUNTER_MAX - 1) = 3;
	assert_int_equal(counterfile_parse("x", image.data, image.size, &file), 0);
	assert_int_equal(counterfile_rows(&file), last + 1);
	assert_int_equal(counterfile_value(&file, last), 3);
	counterfile_name(last, name);
	assert_string_equal(name, "counter_511");
	assert_non_null(counterfile_meaning(last));
	free(image.data);
}

static void counterfile_parse__every_length__cut_off_or_not_a_counter_file(void **state)
{
	struct image image = image_new(COUNTER_MAX, 2);

	(void)state;
	for (size_t size = 0; size < image.size; size++)
		if (size > 0)
			refused(&image, size, size < 8 ? "not a counter file" : "cut off");
	free(image.data);
}

static void counterfile_parse__being_made__eagain(void **state)
{
	struct image image = image_new(COUNTER_MAX, 2);
	struct counterfile file;

	(void)state;
	assert_int_equal(counterfile_parse("x", image.data, 0, &file), -EAGAIN);
	header(&image)->magic = 0; /* it is written last */
	assert_int_equal(counterfile_parse("x", image.data, image.size, &file), -EAGAIN);
	assert_int_equal(counterfile_parse("x", image.data, 5, &file), -EAGAIN);
	free(image.data);
}

static void counterfile_parse__bad_field__it_is_named(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		const char *text;
	} bad[] = {
#define AT(field) offsetof(struct process_page, field)
		{ AT(magic), 1, "not a counter file" },
		{ AT(version), 0, "layout version 0" },
		{ AT(version), PROCESS_PAGE_VERSION + 1, "layout version 2" },
		{ AT(counter_off), 0, "counters at 0" },
		{ AT(counter_off), UINT32_MAX, "counters at 4294967295" },
		{ AT(counter_count), COUNTERFILE_COUNTER_MAX + 1, "number of counters is 513" },
		{ AT(counter_count), UINT32_MAX, "number of counters is 4294967295" },
		{ AT(slot_off), PROCESS_PAGE_SLOT_OFF - 1, "damaged" },
		{ AT(slot_off), UINT32_MAX, "damaged" },
		{ AT(slot_count), 3, "cut off" },
		{ AT(slot_count), PROCESS_THREAD_MAX, "cut off" },
		{ AT(slot_count), PROCESS_THREAD_MAX + 1, "number of threads is 1025" },
		{ AT(slot_count), UINT32_MAX, "number of threads" },
		{ AT(slot_size), 0, "damaged" },
		{ AT(slot_size), sizeof(struct process_slot) + 64, "damaged" },
		{ AT(slot_size), UINT32_MAX, "damaged" },
		{ AT(thread_counter_count), PROCESS_THREAD_COUNTERS + 1, "per thread is 9" },
		{ AT(thread_counter_count), UINT32_MAX, "per thread" },
#undef AT
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct image image = image_new(COUNTER_MAX, 2);

		memcpy(image.data + bad[i].at, &bad[i].value, sizeof(bad[i].value));
		refused(&image, image.size, bad[i].text);
		free(image.data);
	}
}

static void counterfile_read__page_of_this_process__what_was_counted(void **state)
{
	struct process_slot *slot;
	struct counterfile file;
	uint64_t before;

	(void)state;
	assert_int_equal(process_get(NULL), 0);
	slot = process_slot_self();
	assert_non_null(slot);
	assert_int_equal(counterfile_read("own", process_page_fd(), &file), 0);
	assert_int_equal(file.pid, getpid());
	before = file.counter[COUNTER_link_up];
	counter_add(COUNTER_link_up, 3);
	slot->counter[PROCESS_WAIT_OPS] += 4;
	assert_int_equal(counterfile_read("own", process_page_fd(), &file), 0);
	assert_int_equal(file.counter[COUNTER_link_up], before + 3);
	assert_int_equal(file.thread[PROCESS_WAIT_OPS], 4);
	assert_int_equal(file.thread_count, 1);
	process_put();
}

static void counterfile_read__not_readable__eio(void **state)
{
	struct counterfile file;
	int fd = open("/", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(counterfile_read("/", fd, &file), -EIO);
	close(fd);
}

static void tool_number_parse__boundaries__digits_in_range_alone(void **state)
{
	static const char *const bad[] = { "",
					   "-1",
					   "+1",
					   " 1",
					   "1 ",
					   "0x1",
					   "1.0",
					   "a",
					   "9",
					   "300",
					   "18446744073709551616",
					   "99999999999999999999999" };
	uint64_t value = 55;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(tool_number_parse(bad[i], 10, 299, &value));
	assert_int_equal(value, 55);
	assert_true(tool_number_parse("10", 10, 299, &value));
	assert_true(tool_number_parse("299", 10, 299, &value));
	assert_int_equal(value, 299);
	assert_true(tool_number_parse("18446744073709551615", 0, UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);
}

static int parse(struct options *options, const char *a, const char *b, const char *c,
		 const char *d)
{
	char words[5][32] = { "farbus-stat" };
	char *argv[6] = { words[0] };
	const char *word[] = { a, b, c, d };
	int argc = 1;

	for (int i = 0; i < 4 && word[i]; i++) {
		strcpy(words[argc], word[i]);
		argv[argc] = words[argc];
		argc++;
	}
	error_clear();
	return options_parse(argc, argv, options);
}

static void options_parse__bad__einval_and_a_text(void **state)
{
	static const char *const bad[][2] = {
		{ "--interval", "0" },	{ "--interval", "-1" },	   { "--interval", "nan" },
		{ "--interval", "x" },	{ "--interval", "86401" }, { "--interval", "1s" },
		{ "--interval", NULL }, { "--count", "1" },	   { "--nothing", NULL },
		{ "-q", NULL },		{ "--all=1", NULL },
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(&options, bad[i][0], bad[i][1], NULL, NULL), -EINVAL);
		assert_true(error_text()[0]);
	}
	assert_int_equal(parse(&options, "--interval", "1", "--count", "0"), -EINVAL);
}

static void options_parse__good__taken(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "--interval", "0.5", "--count", "3"), 0);
	assert_int_equal(options.interval_ns, 500000000);
	assert_int_equal(options.count, 3);
	assert_null(options.target[0]);
	assert_int_equal(parse(&options, "--json", "12", "--all", NULL), 0);
	assert_true(options.json);
	assert_true(options.all);
	assert_string_equal(options.target[0], "12");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counterfile_parse__good__every_count_at_its_place),
		cmocka_unit_test(counterfile_parse__instances__open_and_closed_rows_are_kept),
		cmocka_unit_test(counterfile_parse__older_file__missing_counters_are_zero),
		cmocka_unit_test(counterfile_parse__newer_file__nameless_counters_are_shown),
		cmocka_unit_test(counterfile_parse__every_length__cut_off_or_not_a_counter_file),
		cmocka_unit_test(counterfile_parse__being_made__eagain),
		cmocka_unit_test(counterfile_parse__bad_field__it_is_named),
		cmocka_unit_test(counterfile_read__page_of_this_process__what_was_counted),
		cmocka_unit_test(counterfile_read__not_readable__eio),
		cmocka_unit_test(tool_number_parse__boundaries__digits_in_range_alone),
		cmocka_unit_test(options_parse__bad__einval_and_a_text),
		cmocka_unit_test(options_parse__good__taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
