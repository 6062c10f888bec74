/* SPDX-License-Identifier: BSD-3-Clause */
/* run_streams_test.c -- tests of apps/farbus-run/output.h and input.h */
#include "apps/farbus-run/input.h"
#include "apps/farbus-run/output.h"
#include "base_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define STREAMS 4

static uint64_t random_state = 88172645463325252;

static size_t random_below(size_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

/* A sink that writes to a file, and some ranks. */
struct tap {
	struct output_sink sink;
	struct output_stream *stream[STREAMS];
	int fd;
	char *text; /* all that was written, after tap_read() */
	size_t len;
};

static void tap_open(struct tap *tap, bool tag, bool timestamp, bool lines)
{
	memset(tap, 0, sizeof(*tap));
	tap->fd = memfd_create("tap", MFD_CLOEXEC);
	assert_true(tap->fd >= 0);
	assert_int_equal(output_sink_init(&tap->sink, tap->fd, tag, timestamp, lines), 0);
	for (uint32_t i = 0; i < STREAMS; i++) {
		tap->stream[i] = calloc(1, sizeof(*tap->stream[i]));
		assert_non_null(tap->stream[i]);
		tap->stream[i]->rank = i;
	}
}

static void tap_feed(struct tap *tap, int rank, const char *data, size_t len)
{
	assert_true(len <= OUTPUT_READ_MAX);
	if (!output_room(&tap->sink))
		output_flush(&tap->sink);
	assert_true(output_room(&tap->sink));
	output_feed(&tap->sink, tap->stream[rank], data, len);
}

static void tap_text(struct tap *tap, int rank, const char *text)
{
	tap_feed(tap, rank, text, strlen(text));
}

static const char *tap_read(struct tap *tap)
{
	off_t len;

	output_flush(&tap->sink);
	assert_false(output_pending(&tap->sink));
	len = lseek(tap->fd, 0, SEEK_END);
	free(tap->text);
	tap->text = calloc(1, (size_t)len + 1);
	assert_non_null(tap->text);
	assert_int_equal(pread(tap->fd, tap->text, (size_t)len, 0), len);
	tap->len = (size_t)len;
	return tap->text;
}

static void tap_close(struct tap *tap)
{
	for (int i = 0; i < STREAMS; i++)
		free(tap->stream[i]);
	output_sink_fini(&tap->sink);
	free(tap->text);
	close(tap->fd);
}

static void output__lines_in_pieces_of_two_ranks__whole_lines(void **state)
{
	struct tap tap;

	(void)state;
	tap_open(&tap, false, false, true);
	tap_text(&tap, 0, "one ");
	tap_text(&tap, 1, "two ");
	tap_text(&tap, 0, "is whole\nand three");
	tap_text(&tap, 1, "too\n\n");
	output_end(&tap.sink, tap.stream[0]);
	output_end(&tap.sink, tap.stream[1]); /* has nothing left */
	assert_string_equal(tap_read(&tap), "one is whole\ntwo too\n\nand three");
	tap_close(&tap);
}

static void output__tagged__each_line_begins_with_its_rank(void **state)
{
	struct tap tap;

	(void)state;
	tap_open(&tap, true, false, false);
	tap_text(&tap, 2, "a\n\nb");
	tap_text(&tap, 3, "c\n");
	output_end(&tap.sink, tap.stream[2]);
	output_say(&tap.sink, "%s", "x");
	assert_string_equal(tap_read(&tap), "[2] a\n[2] \n[3] c\n[2] b\nfarbus-run: x\n");
	tap_close(&tap);
}

static void output__one_rank_as_it_is__bytes_at_once_and_our_line_apart(void **state)
{
	struct tap tap;

	(void)state;
	tap_open(&tap, false, false, false);
	tap_feed(&tap, 0, "a\0b", 3);
	tap_text(&tap, 0, "name? ");
	tap_read(&tap);
	assert_int_equal(tap.len, 9);
	assert_memory_equal(tap.text, "a\0bname? ", 9);
	output_say(&tap.sink, "ending");
	tap_text(&tap, 0, "more");
	tap_read(&tap);
	assert_memory_equal(tap.text + 9, "\nfarbus-run: ending\nmore", 24);
	tap_close(&tap);
}

/* A long line goes on in pieces; nobody else's line gets into the middle of one without an end. */
static void output__as_long_as_a_line_may_be__pieces_and_all_bytes(void **state)
{
	static char data[OUTPUT_READ_MAX];
	static const size_t len[] = { OUTPUT_LINE_MAX - 1, OUTPUT_LINE_MAX, OUTPUT_LINE_MAX + 1,
				      3 * OUTPUT_LINE_MAX };

	(void)state;
	memset(data, 'x', sizeof(data));
	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		struct tap tap;
		size_t count = 0;

		tap_open(&tap, false, false, true);
		for (size_t left = len[i]; left > 0;) {
			size_t n = left < sizeof(data) ? left : sizeof(data);

			tap_feed(&tap, 0, data, n);
			left -= n;
		}
		tap_text(&tap, 1, "other\n");
		tap_text(&tap, 0, "\n");
		tap_read(&tap);
		for (size_t at = 0; at < tap.len; at++)
			count += tap.text[at] == 'x';
		assert_int_equal(count, len[i]);
		assert_int_equal(text_times(tap.text, "other\n"), 1);
		assert_true(tap.text[0] == 'o' || strstr(tap.text, "\nother\n") != NULL);
		tap_close(&tap);
	}
}

#define LINES_EACH 3000

/* What a rank prints next: "RANK NUMBER xxx...\n", in pieces that end anywhere. */
struct talker {
	int number;
	size_t used, at;
	char line[400];
};

static void talk(struct tap *tap, int rank, struct talker *talker)
{
	size_t n;

	if (talker->at == talker->used) {
		size_t extra = random_below(300);

		talker->used = (size_t)sprintf(talker->line, "%d %d ", rank, talker->number++);
		memset(talker->line + talker->used, 'x', extra);
		talker->used += extra;
		talker->line[talker->used++] = '\n';
		talker->at = 0;
	}
	n = 1 + random_below(talker->used - talker->at);
	tap_feed(tap, rank, talker->line + talker->at, n);
	talker->at += n;
}

static void line_check(const char *line, bool tag, bool timestamp, int *next)
{
	int rank, number, tagged, at;

	if (timestamp) {
		assert_int_equal(sscanf(line, "%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3d %n", &at), 0);
		assert_int_equal(at, 24);
		line += at;
	}
	if (tag) {
		assert_int_equal(sscanf(line, "[%d] %n", &tagged, &at), 1);
		line += at;
	}
	assert_int_equal(sscanf(line, "%d %d %n", &rank, &number, &at), 2);
	assert_int_equal(strspn(line + at, "x"), strlen(line + at));
	assert_true(!tag || tagged == rank);
	assert_int_equal(number, next[rank]++);
}

static void output__random_pieces_of_all_ranks__lines_whole_and_in_order(void **state)
{
	(void)state;
	for (int form = 0; form < 4; form++) {
		struct talker talker[STREAMS] = { { .number = 0 } };
		int next[STREAMS] = { 0 };
		struct tap tap;
		char *save;

		tap_open(&tap, form & 1, form & 2, true);
		for (int i = 0; i < STREAMS * LINES_EACH; i++) {
			int rank = (int)random_below(STREAMS);

			talk(&tap, rank, &talker[rank]);
		}
		for (int i = 0; i < STREAMS; i++)
			while (talker[i].at < talker[i].used)
				talk(&tap, i, &talker[i]);
		tap_read(&tap);
		for (char *line = strtok_r(tap.text, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save))
			line_check(line, form & 1, form & 2, next);
		for (int i = 0; i < STREAMS; i++)
			assert_int_equal(next[i], talker[i].number);
		tap_close(&tap);
	}
}

/* The most that fits after output_room() said yes: a kept line, then only newlines, all marked. */
static void output__worst_feeds_while_nobody_reads__nothing_is_lost(void **state)
{
	static char newlines[OUTPUT_READ_MAX], line[OUTPUT_LINE_MAX - 1];
	struct tap tap;
	size_t want = 0, count = 0;

	(void)state;
	memset(newlines, '\n', sizeof(newlines));
	memset(line, 'x', sizeof(line));
	tap_open(&tap, true, true, true);
	while (output_room(&tap.sink)) {
		for (size_t at = 0; at < sizeof(line); at += sizeof(newlines)) {
			size_t n = sizeof(line) - at;

			n = n < sizeof(newlines) ? n : sizeof(newlines);
			output_feed(&tap.sink, tap.stream[0], line + at, n);
		}
		output_feed(&tap.sink, tap.stream[0], newlines, sizeof(newlines));
		want += sizeof(newlines);
	}
	tap_read(&tap);
	for (size_t at = 0; at < tap.len; at++)
		count += tap.text[at] == '\n';
	assert_int_equal(count, want);
	tap_close(&tap);
}

static void output__slow_reader__never_waits_and_all_arrives(void **state)
{
	static char data[OUTPUT_READ_MAX], back[65536];
	struct output_stream *stream = calloc(1, sizeof(*stream));
	size_t fed = 0, got = 0;
	struct output_sink sink;
	int fd[2];

	(void)state;
	assert_non_null(stream);
	memset(data, 'y', sizeof(data));
	assert_int_equal(pipe(fd), 0); /* blocking: a write too many would hang the test */
	assert_int_equal(output_sink_init(&sink, fd[1], false, false, false), 0);
	while (output_room(&sink)) {
		output_feed(&sink, stream, data, sizeof(data));
		fed += sizeof(data);
		output_flush(&sink);
	}
	assert_true(output_pending(&sink));
	while (got < fed) {
		ssize_t n = read(fd[0], back, 1 + random_below(sizeof(back)));

		assert_true(n > 0);
		got += (size_t)n;
		output_flush(&sink);
	}
	assert_false(output_pending(&sink));
	assert_int_equal(got, fed);
	output_sink_fini(&sink);
	free(stream);
	close(fd[0]);
	close(fd[1]);
}

static void output__disk_full__the_error_is_kept_and_the_rest_dropped(void **state)
{
	struct output_stream *stream = calloc(1, sizeof(*stream));
	struct output_sink sink;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_non_null(stream);
	assert_true(fd >= 0);
	assert_int_equal(output_sink_init(&sink, fd, false, false, true), 0);
	output_feed(&sink, stream, "a\n", 2);
	assert_true(output_pending(&sink));
	output_flush(&sink);
	assert_int_equal(sink.err, -ENOSPC);
	assert_false(output_pending(&sink));
	output_feed(&sink, stream, "b\n", 2);
	assert_false(output_pending(&sink));
	assert_true(output_room(&sink)); /* nobody is held up for it */
	output_sink_fini(&sink);
	free(stream);
	close(fd);
}

/* --- input: its source is descriptor 0, so each case runs in a child --- */

#define SOURCE_TAG 1000
#define READER_TAG 2000
#define READERS 3

struct rig {
	struct input input;
	int epoll, source, reader[READERS]; /* our ends; -1: closed */
};

/* The source is a pipe; the first count ranks read. */
static struct rig *rig_open(uint32_t count)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	int fd[2];

	CHECK(rig != NULL);
	signal(SIGPIPE, SIG_IGN); /* as in farbus-run */
	CHECK(pipe(fd) == 0);
	CHECK(dup2(fd[0], 0) == 0);
	close(fd[0]);
	rig->source = fd[1];
	rig->epoll = epoll_create1(EPOLL_CLOEXEC);
	CHECK(rig->epoll >= 0);
	CHECK(input_init(&rig->input, rig->epoll, READERS, SOURCE_TAG, READER_TAG) == 0);
	for (uint32_t i = 0; i < READERS; i++) {
		rig->reader[i] = -1;
		if (i >= count)
			continue;
		CHECK(pipe(fd) == 0);
		CHECK(fcntl(fd[1], F_SETFL, O_NONBLOCK) == 0);
		CHECK(fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0);
		CHECK(input_reader_add(&rig->input, i, fd[1]) == 0);
		rig->reader[i] = fd[0];
	}
	input_run(&rig->input, false);
	return rig;
}

static void rig_close(struct rig *rig)
{
	input_fini(&rig->input);
	free(rig);
}

/* Serves what is due now, as farbus-run's loop does; how many events there were. */
static int rig_step(struct rig *rig)
{
	struct epoll_event event[8];
	int n = epoll_wait(rig->epoll, event, 8, 0);

	for (int i = 0; i < n; i++) {
		if (event[i].data.u64 == SOURCE_TAG)
			input_run(&rig->input, true);
		else
			input_reader_event(&rig->input, (uint32_t)(event[i].data.u64 - READER_TAG),
					   event[i].events);
	}
	return n;
}

/* Until there is nothing to do; a loop without an end fails. */
static void rig_settle(struct rig *rig)
{
	int left = 1000;

	while (rig_step(rig) > 0)
		CHECK(left-- > 0);
}

static void rig_says(struct rig *rig, uint32_t rank, const char *text)
{
	char got[256];
	ssize_t n = read(rig->reader[rank], got, sizeof(got));

	CHECK(n == (ssize_t)strlen(text));
	CHECK(memcmp(got, text, strlen(text)) == 0);
}

static void in_input__two_readers__each_has_all_and_the_end(void *arg)
{
	struct rig *rig = rig_open(2);
	char byte;

	(void)arg;
	rig_settle(rig);
	CHECK(write(rig->source, "one", 3) == 3);
	rig_settle(rig);
	rig_says(rig, 0, "one");
	rig_says(rig, 1, "one");
	CHECK(read(rig->reader[0], &byte, 1) == -1 && errno == EAGAIN);
	CHECK(write(rig->source, "two", 3) == 3);
	close(rig->source);
	rig_settle(rig);
	for (uint32_t i = 0; i < 2; i++) {
		rig_says(rig, i, "two");
		CHECK(read(rig->reader[i], &byte, 1) == 0);
	}
	rig_close(rig);
}

static void in_input__reader_closes_while_the_source_is_idle__not_for_ever(void *arg)
{
	struct rig *rig = rig_open(2);

	(void)arg;
	rig_settle(rig);
	close(rig->reader[0]);
	rig_settle(rig);
	CHECK(rig->input.reader[0].fd == -1);
	CHECK(rig->input.reading == 1);
	CHECK(write(rig->source, "x", 1) == 1);
	rig_settle(rig);
	rig_says(rig, 1, "x");
	close(rig->reader[1]);
	rig_settle(rig);
	CHECK(rig->input.reading == 0);
	CHECK(write(rig->source, "y", 1) == 1); /* nobody wants it: it stays */
	rig_settle(rig);
	rig_close(rig);
}

static void in_input__no_reader__nothing_is_taken(void *arg)
{
	struct rig *rig = rig_open(0);
	char byte;

	(void)arg;
	CHECK(write(rig->source, "z", 1) == 1);
	rig_settle(rig);
	CHECK(read(0, &byte, 1) == 1 && byte == 'z');
	rig_close(rig);
}

static char pattern(size_t at)
{
	return (char)(at * 2654435761u >> 13);
}

/* Reads some of what is there; false: nothing was. */
static bool reader_drain(struct rig *rig, uint32_t rank, size_t *got)
{
	static char data[10000];
	ssize_t n = read(rig->reader[rank], data, 1 + random_below(sizeof(data)));

	for (ssize_t i = 0; i < n; i++)
		CHECK(data[i] == pattern(*got + (size_t)i));
	*got += n > 0 ? (size_t)n : 0;
	return n > 0;
}

#define LONG_INPUT (3u << 20)

static void in_input__a_lot_and_slow_readers__all_of_it_to_both(void *arg)
{
	struct rig *rig = rig_open(2);
	size_t sent = 0, got[2] = { 0, 0 };
	char data[5000];

	(void)arg;
	CHECK(fcntl(rig->source, F_SETFL, O_NONBLOCK) == 0);
	while (got[0] < LONG_INPUT || got[1] < LONG_INPUT) {
		ssize_t n = 0;

		if (sent < LONG_INPUT) {
			size_t want = 1 + random_below(sizeof(data));

			want = want < LONG_INPUT - sent ? want : LONG_INPUT - sent;
			for (size_t i = 0; i < want; i++)
				data[i] = pattern(sent + i);
			n = write(rig->source, data, want);
			sent += n > 0 ? (size_t)n : 0;
		}
		/* Rank 1 is the slow one: it reads when nothing else moves. */
		if (rig_step(rig) + (int)reader_drain(rig, 0, &got[0]) == 0 && n <= 0)
			CHECK(reader_drain(rig, 1, &got[1]));
	}
	CHECK(got[0] == LONG_INPUT && got[1] == LONG_INPUT);
	rig_close(rig);
}

static void in_input__a_file__read_to_its_end_without_polling(void *arg)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	struct rig *rig = rig_open(1);
	size_t got = 0;
	char byte;

	(void)arg;
	for (size_t i = 0; i < 300000; i++) {
		byte = pattern(i);
		CHECK(write(fd, &byte, 1) == 1);
	}
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(dup2(fd, 0) == 0);
	input_fini(&rig->input);
	CHECK(input_init(&rig->input, rig->epoll, READERS, SOURCE_TAG, READER_TAG) == 0);
	close(rig->reader[0]);
	{
		int ends[2];

		CHECK(pipe2(ends, O_NONBLOCK) == 0);
		CHECK(input_reader_add(&rig->input, 0, ends[1]) == 0);
		rig->reader[0] = ends[0];
	}
	input_run(&rig->input, false);
	while (got < 300000) {
		int events = rig_step(rig);

		CHECK(reader_drain(rig, 0, &got) || events > 0);
	}
	rig_settle(rig);
	CHECK(read(rig->reader[0], &byte, 1) == 0);
	rig_close(rig);
}

#define INPUT_TEST(name)                       \
	static void name(void **state)         \
	{                                      \
		(void)state;                   \
		child_passes(in_##name, NULL); \
	}
INPUT_TEST(input__two_readers__each_has_all_and_the_end)
INPUT_TEST(input__reader_closes_while_the_source_is_idle__not_for_ever)
INPUT_TEST(input__no_reader__nothing_is_taken)
INPUT_TEST(input__a_lot_and_slow_readers__all_of_it_to_both)
INPUT_TEST(input__a_file__read_to_its_end_without_polling)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output__lines_in_pieces_of_two_ranks__whole_lines),
		cmocka_unit_test(output__tagged__each_line_begins_with_its_rank),
		cmocka_unit_test(output__one_rank_as_it_is__bytes_at_once_and_our_line_apart),
		cmocka_unit_test(output__as_long_as_a_line_may_be__pieces_and_all_bytes),
		cmocka_unit_test(output__random_pieces_of_all_ranks__lines_whole_and_in_order),
		cmocka_unit_test(output__worst_feeds_while_nobody_reads__nothing_is_lost),
		cmocka_unit_test(output__slow_reader__never_waits_and_all_arrives),
		cmocka_unit_test(output__disk_full__the_error_is_kept_and_the_rest_dropped),
		cmocka_unit_test(input__two_readers__each_has_all_and_the_end),
		cmocka_unit_test(input__reader_closes_while_the_source_is_idle__not_for_ever),
		cmocka_unit_test(input__no_reader__nothing_is_taken),
		cmocka_unit_test(input__a_lot_and_slow_readers__all_of_it_to_both),
		cmocka_unit_test(input__a_file__read_to_its_end_without_polling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
