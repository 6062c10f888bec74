/* SPDX-License-Identifier: BSD-3-Clause */
/* vm_stream_test.c -- QEMU's migration stream: what is taken out, what is forwarded, what refused */
#include "addrmap_common.h"
#include "base/alloc.h"
#include "base/error.h"
#include "vm_stream_build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct build in, want;
static struct sink sink;

/* In pieces of that many bytes; the first error. */
static int feed(const struct build *build, size_t piece)
{
	struct qemu_stream *stream;
	int err = 0;

	assert_int_equal(qemu_stream_new(&sink_ops, &sink, &stream), 0);
	for (size_t at = 0; at < build->len && err == 0; at += piece) {
		size_t len = build->len - at < piece ? build->len - at : piece;

		err = qemu_stream_input(stream, build->data + at, len);
		qemu_stream_check(stream);
	}
	qemu_stream_free(stream);
	return err;
}

static void sink_reset(const char *taken)
{
	memset(&sink, 0, sizeof(sink));
	sink.taken = taken;
}

static void input__nothing_taken__same_bytes_out(void **state)
{
	(void)state;
	build_whole(&in);
	for (size_t piece = 1; piece < 9000; piece = piece * 3 + 1) {
		sink_reset(NULL);
		assert_int_equal(feed(&in, piece), 0);
		assert_int_equal(sink.out.len, in.len);
		assert_memory_equal(sink.out.data, in.data, in.len);
		assert_int_equal(sink.notes, 0);
	}
}

/* The same migration without the pages of ram0: names where CONTINUE would point at a page gone. */
static void without_ram0(struct build *build)
{
	build->len = 0;
	build_head(build);
	build_command(build, 1, NULL, 0);
	build_command(build, 2, "\0\0\0\1", 4);
	build_setup(build);
	build_part(build, false);
	build_page(build, "vga", 0, 0x21);
	build_page(build, NULL, 15 * QEMU_PAGE_SIZE, 0x22);
	build_end(build);
	build_part(build, false);
	build_zero(build, NULL, 3 * QEMU_PAGE_SIZE);
	build_end(build);
	build_part(build, true);
	build_end(build);
	build_devices(build);
}

static void input__block_taken__pages_in_order_and_a_valid_rest(void **state)
{
	static const struct note expected[] = {
		{ 0, 0, 0x11, false },
		{ 0, 1 * QEMU_PAGE_SIZE, 0x12, false },
		{ 0, 2 * QEMU_PAGE_SIZE, 0, true },
		{ 0, 63 * QEMU_PAGE_SIZE, 0x13, false },
		{ 0, 5 * QEMU_PAGE_SIZE, 0x14, false },
		{ 0, 0, 0x15, false },
	};

	(void)state;
	build_whole(&in);
	without_ram0(&want);
	for (size_t piece = 1; piece < 9000; piece = piece * 3 + 1) {
		sink_reset("ram0");
		assert_int_equal(feed(&in, piece), 0);
		assert_int_equal(sink.notes, sizeof(expected) / sizeof(expected[0]));
		for (size_t i = 0; i < sink.notes; i++) {
			assert_int_equal(sink.note[i].index, expected[i].index);
			assert_int_equal(sink.note[i].off, expected[i].off);
			assert_int_equal(sink.note[i].fill, expected[i].fill);
			assert_int_equal(sink.note[i].zero, expected[i].zero);
		}
		assert_int_equal(sink.out.len, want.len);
		assert_memory_equal(sink.out.data, want.data, want.len);
	}
}

/* A receiver that has no pages of vga before: CONTINUE of what was taken must become a name. */
static void input__continue_after_a_taken_page__name_is_put_in(void **state)
{
	(void)state;
	in.len = want.len = 0;
	for (int i = 0; i < 2; i++) {
		struct build *build = i == 0 ? &in : &want;

		build_head(build);
		build_setup(build);
		build_part(build, false);
		build_page(build, "ram0", 0, 1);
		if (i == 0)
			build_page(build, "vga", 0, 2);
		build_page(build, i == 0 ? "ram0" : NULL, QEMU_PAGE_SIZE, 3);
		build_page(build, NULL, 2 * QEMU_PAGE_SIZE, 3);
	}
	sink_reset("vga");
	assert_int_equal(feed(&in, in.len), 0);
	assert_int_equal(sink.out.len, want.len);
	assert_memory_equal(sink.out.data, want.data, want.len);
}

static void input__last_round__final_before_its_end_is_forwarded(void **state)
{
	size_t rest;

	(void)state;
	build_whole(&in);
	without_ram0(&want);
	sink_reset("ram0");
	assert_int_equal(feed(&in, 1000), 0);
	assert_true(sink.finals >= 1);
	rest = want.len;
	want.len = 0;
	build_end(&want);
	build_devices(&want);
	assert_int_equal(sink.out_at_final, rest - want.len);
}

static void input__another_device_moves_in_rounds__all_forwarded(void **state)
{
	(void)state;
	in.len = 0;
	build_head(&in);
	build_setup(&in);
	build_start(&in, 3, "dirty-bitmap", 1);
	build_be64(&in, 0x1234);
	build_part(&in, false);
	build_page(&in, "ram0", 0, 9);
	sink_reset("ram0");
	assert_int_equal(feed(&in, 100), 0);
	assert_int_equal(sink.notes, 0);
	assert_int_equal(sink.out.len, in.len);
	assert_memory_equal(sink.out.data, in.data, in.len);
	assert_non_null(strstr(sink.untaken, "dirty-bitmap"));
}

static void input__postcopy_is_announced__all_forwarded(void **state)
{
	static const uint8_t sizes[16] = { 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x10, 0 };

	(void)state;
	in.len = 0;
	build_head(&in);
	build_command(&in, 1, NULL, 0);
	build_command(&in, 3, sizes, sizeof(sizes));
	build_setup(&in);
	build_part(&in, false);
	build_page(&in, "ram0", 0, 9);
	sink_reset("ram0");
	assert_int_equal(feed(&in, 7), 0);
	assert_int_equal(sink.notes, 0);
	assert_int_equal(sink.out.len, in.len);
	assert_memory_equal(sink.out.data, in.data, in.len);
	assert_string_equal(sink.untaken, "post-copy");
}

static void begin_round(void)
{
	in.len = 0;
	build_head(&in);
	build_setup(&in);
	build_part(&in, false);
}

static void refused(int expected, const char *text)
{
	sink_reset("ram0");
	assert_int_equal(feed(&in, 1), expected);
	if (!strstr(error_text(), text))
		fail_msg("'%s' is not in '%s'", text, error_text());
}

static void input__features_that_cannot_be_carried__enotsup_with_their_name(void **state)
{
	static const struct {
		uint32_t flag;
		const char *text;
	} record[] = {
		{ 0x40, "xbzrle" }, { 0x100, "compress" }, { 0x80, "rdma" }, { 0x200, "multifd" }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(record) / sizeof(record[0]); i++) {
		begin_round();
		build_be64(&in, record[i].flag);
		refused(-ENOTSUP, record[i].text);
	}
	in.len = 0;
	build_head(&in);
	build_u8(&in, 0x05);
	build_text(&in, "configuration/capabilities");
	build_be32(&in, 1);
	build_be32(&in, 1);
	build_text(&in, "x-ignore-shared");
	refused(-ENOTSUP, "x-ignore-shared");
	in.len = 0;
	build_head(&in);
	build_u8(&in, 0x05);
	build_text(&in, "configuration/news");
	build_be32(&in, 1);
	refused(-ENOTSUP, "configuration/news");
	in.len = 0;
	build_head(&in);
	build_start(&in, 2, "ram", 5);
	refused(-ENOTSUP, "version 5");
	in.len = 0;
	build_head(&in);
	build_command(&in, 8, NULL, 0);
	refused(-ENOTSUP, "x-colo");
	in.len = 0;
	build_head(&in);
	build_command(&in, 12, NULL, 0);
	refused(-ENOTSUP, "command 12");
}

static void input__damaged__eproto_and_no_page_outside_its_block(void **state)
{
	(void)state;
	in.len = 0;
	build_be64(&in, 0x1122334400000001);
	refused(-EPROTO, "no migration stream");
	begin_round();
	build_be64(&in, 0x08 | 0x20);
	refused(-EPROTO, "the first page");
	begin_round();
	build_page(&in, "ram0", 64 * QEMU_PAGE_SIZE, 1);
	refused(-EPROTO, "'ram0'");
	assert_int_equal(sink.notes, 0);
	begin_round();
	build_page(&in, "ram0", UINT64_MAX << 12, 1);
	refused(-EPROTO, "'ram0'");
	begin_round();
	build_page(&in, "other", 0, 1);
	refused(-EPROTO, "not listed");
	begin_round();
	build_be64(&in, 0x08 | 0x02);
	refused(-EPROTO, "flags 0xa");
	begin_round();
	build_be64(&in, 0x10);
	build_be64(&in, 0);
	refused(-EPROTO, "footer");
	in.len = 0;
	build_head(&in);
	build_part(&in, false);
	refused(-EPROTO, "never started");
}

static void input__list_of_blocks__limits(void **state)
{
	(void)state;
	for (uint32_t count = QEMU_BLOCK_MAX; count <= QEMU_BLOCK_MAX + 1; count++) {
		in.len = 0;
		build_head(&in);
		build_start(&in, 2, "ram", 4);
		build_be64(&in, (uint64_t)count * QEMU_PAGE_SIZE | 0x04);
		for (uint32_t i = 0; i < count; i++) {
			char name[16];

			snprintf(name, sizeof(name), "b%u", i);
			build_text(&in, name);
			build_be64(&in, QEMU_PAGE_SIZE);
		}
		build_end(&in);
		sink_reset(NULL);
		assert_int_equal(feed(&in, 11), count > QEMU_BLOCK_MAX ? -ENOSPC : 0);
	}
	in.len = 0;
	build_head(&in);
	build_start(&in, 2, "ram", 4);
	build_be64(&in, QEMU_PAGE_SIZE | 0x04);
	build_text(&in, "ram0");
	build_be64(&in, 2 * QEMU_PAGE_SIZE);
	refused(-EPROTO, "are left");
}

static void input__sink_fails__its_error_again_and_again(void **state)
{
	struct qemu_stream *stream;

	(void)state;
	build_whole(&in);
	sink_reset("ram0");
	sink.fail = -EHOSTDOWN;
	assert_int_equal(qemu_stream_new(&sink_ops, &sink, &stream), 0);
	assert_int_equal(qemu_stream_input(stream, in.data, in.len), -EHOSTDOWN);
	assert_int_equal(sink.notes, 1);
	assert_int_equal(qemu_stream_input(stream, in.data, in.len), -EHOSTDOWN);
	assert_int_equal(sink.notes, 1);
	qemu_stream_free(stream);
}

static void new__no_memory__enomem(void **state)
{
	struct qemu_stream *stream = NULL;

	(void)state;
	alloc_fault_arm(1);
	assert_int_equal(qemu_stream_new(&sink_ops, &sink, &stream), -ENOMEM);
	alloc_fault_arm(0);
	assert_null(stream);
	assert_null(qemu_stream_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(input__nothing_taken__same_bytes_out),
		cmocka_unit_test(input__block_taken__pages_in_order_and_a_valid_rest),
		cmocka_unit_test(input__continue_after_a_taken_page__name_is_put_in),
		cmocka_unit_test(input__last_round__final_before_its_end_is_forwarded),
		cmocka_unit_test(input__another_device_moves_in_rounds__all_forwarded),
		cmocka_unit_test(input__postcopy_is_announced__all_forwarded),
		cmocka_unit_test(input__features_that_cannot_be_carried__enotsup_with_their_name),
		cmocka_unit_test(input__damaged__eproto_and_no_page_outside_its_block),
		cmocka_unit_test(input__list_of_blocks__limits),
		cmocka_unit_test(input__sink_fails__its_error_again_and_again),
		cmocka_unit_test(new__no_memory__enomem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
