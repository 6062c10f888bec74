/* SPDX-License-Identifier: BSD-3-Clause */
/* boot_tcp_wire_test.c -- tests of FARBUS_JOIN's bytes, address, settings and store */
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/boot/tcp_conf.h"
#include "runtime/boot/tcp_server.h"
#include "runtime/boot/tcp_store.h"
#include "runtime/boot/tcp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t key[MAC_KEY_SIZE] = { 1 }, other_key[MAC_KEY_SIZE] = { 2 };

/* --- handshake --- */

static void handshake_make(struct tcp_handshake *said, const struct tcp_join *join,
			   const struct tcp_answer *answer)
{
	memset(said, 0, sizeof(*said));
	tcp_hello_make(said);
	tcp_join_make(said, key, join);
	tcp_answer_make(said, key, answer);
}

static const struct tcp_join some_join = { .rank = 3, .size = 5, .host = { 9, 8, 7 } };
static const struct tcp_answer some_answer = { .code = TCP_WELCOME, .rank = 3, .size = 5 };

static void join_and_answer__same_secret__arrive_as_sent(void **state)
{
	struct tcp_handshake said;
	struct tcp_answer answer;
	struct tcp_join join;

	(void)state;
	handshake_make(&said, &some_join, &some_answer);
	assert_int_equal(tcp_head_check(said.hello, sizeof(said.hello)), 0);
	assert_int_equal(tcp_head_check(said.join, sizeof(said.join)), 0);
	assert_int_equal(tcp_join_parse(&said, key, &join), 0);
	assert_memory_equal(&join, &some_join, sizeof(join));
	assert_int_equal(tcp_answer_parse(&said, key, &answer), 0);
	assert_memory_equal(&answer, &some_answer, sizeof(answer));
}

/* Whatever is changed on the way, or taken from another handshake, proves nothing. */
static void join__any_bit_of_it_or_of_hello_changed__eacces(void **state)
{
	struct tcp_handshake said;
	struct tcp_join join;

	(void)state;
	handshake_make(&said, &some_join, &some_answer);
	assert_int_equal(tcp_join_parse(&said, other_key, &join), -EACCES);
	for (size_t bit = 0; bit < sizeof(said.join) * 8; bit++) {
		said.join[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(tcp_join_parse(&said, key, &join), -EACCES);
		said.join[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t bit = 0; bit < sizeof(said.hello) * 8; bit++) {
		said.hello[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(tcp_join_parse(&said, key, &join), -EACCES);
		said.hello[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	tcp_hello_make(&said); /* a replayed JOIN meets another nonce */
	assert_int_equal(tcp_join_parse(&said, key, &join), -EACCES);
}

static void answer__any_bit_changed__refused_or_without_a_claim(void **state)
{
	struct tcp_handshake said;
	struct tcp_answer answer;

	(void)state;
	handshake_make(&said, &some_join, &some_answer);
	assert_int_equal(tcp_answer_parse(&said, other_key, &answer), -EACCES);
	for (size_t bit = 0; bit < sizeof(said.answer) * 8; bit++) {
		int err;

		said.answer[bit / 8] ^= (uint8_t)(1u << bit % 8);
		err = tcp_answer_parse(&said, key, &answer);
		assert_true(err == -EACCES || err == -EPROTO ||
			    (err == 0 &&
			     (answer.code == TCP_NO_VERSION || answer.code == TCP_NO_SECRET)));
		said.answer[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* Our own proof sent back proves nothing either. */
	memcpy(said.answer + 12, said.join + TCP_JOIN_SIZE - MAC_PROOF_SIZE, MAC_PROOF_SIZE);
	assert_int_equal(tcp_answer_parse(&said, key, &answer), -EACCES);
}

static void head_check__each_prefix__as_soon_as_it_can_be_told(void **state)
{
	struct tcp_handshake said;

	(void)state;
	tcp_hello_make(&said);
	for (size_t len = 0; len <= sizeof(said.hello); len++)
		assert_int_equal(tcp_head_check(said.hello, len), 0);
	for (size_t at = 0; at < 8; at++) {
		said.hello[at] ^= 1;
		assert_int_equal(tcp_head_check(said.hello, at), 0);
		assert_int_equal(tcp_head_check(said.hello, at + 1), -EPROTO);
		said.hello[at] ^= 1;
	}
	said.hello[8]++;
	assert_int_equal(tcp_head_check(said.hello, 11), 0);
	assert_int_equal(tcp_head_check(said.hello, 12), -ENOTSUP);
}

/* --- frames --- */

struct ends {
	struct tcp_session server, client;
};

static void ends_make(struct ends *ends)
{
	struct tcp_handshake said;

	handshake_make(&said, &some_join, &some_answer);
	tcp_session_make(&said, key, true, &ends->server);
	tcp_session_make(&said, key, false, &ends->client);
}

static void message_fill(struct tcp_message *message, size_t key_len, size_t len)
{
	memset(message, 0, sizeof(*message));
	*message = (struct tcp_message){ .kind = TCP_PUT, .a = 0x80000001u, .b = 7, .len = len };
	memset(message->key, 'k', key_len);
	memset(message->value, 0xa5, len);
}

static void frame__shortest_and_longest__round_trip_at_their_last_byte(void **state)
{
	static const size_t sizes[][2] = { { 1, 0 }, { BOOT_KEY_MAX - 1, BOOT_VALUE_MAX } };
	struct tcp_message sent, got;
	uint8_t frame[TCP_FRAME_MAX];
	struct ends ends;
	size_t taken;

	(void)state;
	ends_make(&ends);
	for (size_t i = 0; i < 2; i++) {
		size_t len;

		message_fill(&sent, sizes[i][0], sizes[i][1]);
		len = tcp_frame_make(&ends.client, &sent, frame);
		assert_true(len <= sizeof(frame));
		for (size_t n = 0; n < len; n++)
			assert_int_equal(tcp_frame_parse(&ends.server, frame, n, &got, &taken),
					 -EAGAIN);
		memset(&got, 0, sizeof(got));
		assert_int_equal(tcp_frame_parse(&ends.server, frame, len, &got, &taken), 0);
		assert_int_equal(taken, len);
		assert_memory_equal(&got, &sent, sizeof(sent));
		/* The same bytes once more, or back to where they came from. */
		assert_int_equal(tcp_frame_parse(&ends.server, frame, len, &got, &taken), -EACCES);
		assert_int_equal(tcp_frame_parse(&ends.client, frame, len, &got, &taken), -EACCES);
	}
}

static void frame__any_bit_changed__no_message(void **state)
{
	struct tcp_message sent, got;
	uint8_t frame[TCP_FRAME_MAX];
	struct ends ends;
	size_t len, taken;

	(void)state;
	ends_make(&ends);
	message_fill(&sent, 3, 20);
	len = tcp_frame_make(&ends.client, &sent, frame);
	for (size_t bit = 0; bit < len * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(tcp_frame_parse(&ends.server, frame, len, &got, &taken), 0);
		frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(tcp_frame_parse(&ends.server, frame, len, &got, &taken), 0);
}

static void message_parse__not_what_a_member_writes__eproto(void **state)
{
	/* kind, length of key, length of value (2), a (4), b (4), key, value */
	static const struct {
		uint8_t bytes[16];
		size_t len;
		int err;
	} row[] = {
		{ { TCP_PUT, 1, 1, 0, [12] = 'k', 'v' }, 14, 0 },
		{ { TCP_FENCE }, 12, 0 },
		{ { TCP_FENCE }, 11, -EPROTO },
		{ { TCP_FENCE }, 13, -EPROTO },
		{ { 0 }, 12, -EPROTO },
		{ { TCP_KIND_END }, 12, -EPROTO },
		{ { 255 }, 12, -EPROTO },
		{ { TCP_PUT }, 12, -EPROTO }, /* no key */
		{ { TCP_GET }, 12, -EPROTO },
		{ { TCP_FENCE, 1, [12] = 'k' }, 13, -EPROTO },
		{ { TCP_PUT, 2, [12] = 'k' }, 14, -EPROTO }, /* a NUL in it */
		{ { TCP_PUT, 1, 2, 0, [12] = 'k', 'v' }, 14, -EPROTO },
		{ { TCP_PUT, 64, 0, 0 }, 16, -EPROTO },
		{ { TCP_VALUE, 0, 0, 2 }, 16, -EPROTO },
		{ { TCP_VALUE, 0, 0xff, 0xff }, 16, -EPROTO },
	};
	struct tcp_message message;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_int_equal(tcp_message_parse(row[i].bytes, row[i].len, &message), row[i].err);
}

/* --- address --- */

static void place_parse__good_ones__host_and_port(void **state)
{
	static const struct {
		const char *text, *host, *port;
	} row[] = {
		{ "10.0.0.1:7000", "10.0.0.1", "7000" },
		{ "head.cluster:1", "head.cluster", "1" },
		{ "[::1]:65535", "::1", "65535" },
		{ "[fe80::1%eth0]:80", "fe80::1%eth0", "80" },
	};
	struct tcp_place place;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(tcp_place_parse(row[i].text, &place), 0);
		assert_string_equal(place.host, row[i].host);
		assert_string_equal(place.port, row[i].port);
	}
}

static void place_parse__bad_ones__einval_names_the_setting(void **state)
{
	static char long_name[TCP_HOST_MAX + 10];
	const char *const row[] = { "",	    "host", ":7000",  "host:",	   "host:0", "host:65536",
				    "h:x",  "h:7 ", "::1:70", "[::1]7000", "[::1]",  "[]:7",
				    "[::1", "h:-1", "[::1]:", "h:+7",	   long_name };
	struct tcp_place place;

	(void)state;
	memset(long_name, 'h', TCP_HOST_MAX);
	strcpy(long_name + TCP_HOST_MAX, ":7000");
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(tcp_place_parse(row[i], &place), -EINVAL);
		assert_non_null(strstr(error_text(), "FARBUS_JOIN="));
	}
}

/* --- settings --- */

static struct config config_with(const char *join, const char *rank, const char *size)
{
	struct config config;

	memset(&config, 0, sizeof(config));
	strcpy(config.join, join);
	strcpy(config.rank, rank);
	strcpy(config.size, size);
	return config;
}

static void conf_load__rank_and_size__each_mistake_is_named(void **state)
{
	static const struct {
		const char *rank, *size, *text;
	} row[] = {
		{ "0", "1", NULL },
		{ "", "", NULL },
		{ "7", "", NULL },
		{ "", "1024", NULL },
		{ "1023", "1024", NULL },
		{ "0", "", "FARBUS_SIZE" },
		{ "2", "2", "FARBUS_RANK" },
		{ "x", "2", "FARBUS_RANK" },
		{ "-1", "2", "FARBUS_RANK" },
		{ "1024", "", "FARBUS_RANK" },
		{ "0", "0", "FARBUS_SIZE" },
		{ "0", "1025", "FARBUS_SIZE" },
		{ "0", "2x", "FARBUS_SIZE" },
	};
	struct tcp_conf conf;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct config config = config_with("127.0.0.1:7", row[i].rank, row[i].size);

		assert_int_equal(tcp_conf_load(&config, &conf), row[i].text ? -EINVAL : 0);
		if (row[i].text) {
			assert_non_null(strstr(error_text(), row[i].text));
			continue;
		}
		assert_int_equal(conf.rank,
				 row[i].rank[0] ? (uint32_t)atoi(row[i].rank) : TCP_RANK_ANY);
		assert_int_equal(conf.size, (uint32_t)atoi(row[i].size));
		assert_false(conf.has_secret);
	}
}

static char folder[] = "/tmp/farbus-secret-XXXXXX";

static int folder_make(void **state)
{
	(void)state;
	return mkdtemp(folder) ? mac_init() : -1;
}

static int folder_remove(void **state)
{
	(void)state;
	return rmdir(folder);
}

/* What conf_load says of a file with these bytes and mode. */
static int secret_file_try(const void *bytes, size_t len, mode_t mode, struct tcp_conf *ret_conf)
{
	struct config config = config_with("127.0.0.1:7", "", "2");
	FILE *file;
	int err;

	snprintf(config.secret_file, sizeof(config.secret_file), "%s/secret", folder);
	file = fopen(config.secret_file, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
	assert_int_equal(chmod(config.secret_file, mode), 0);
	err = tcp_conf_load(&config, ret_conf);
	unlink(config.secret_file);
	return err;
}

static void secret__file_and_setting__the_same_key_without_the_newline(void **state)
{
	struct config config = config_with("127.0.0.1:7", "", "2");
	static char longest[TCP_SECRET_MAX];
	struct tcp_conf a, b;

	(void)state;
	assert_int_equal(secret_file_try("correct horse\n", 14, 0600, &a), 0);
	strcpy(config.secret, "correct horse");
	assert_int_equal(tcp_conf_load(&config, &b), 0);
	assert_true(a.has_secret);
	assert_true(b.has_secret);
	assert_memory_equal(a.key, b.key, sizeof(a.key));
	assert_int_equal(secret_file_try("correct horsf\n", 14, 0400, &b), 0);
	assert_memory_not_equal(a.key, b.key, sizeof(a.key));
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(secret_file_try(longest, sizeof(longest), 0600, &b), 0);
}

static void secret__file_that_others_can_use__eacces_says_chmod(void **state)
{
	static const mode_t mode[] = { 0644, 0640, 0604, 0660, 0620, 0602, 0601 };
	struct tcp_conf conf;

	(void)state;
	for (size_t i = 0; i < sizeof(mode) / sizeof(mode[0]); i++) {
		assert_int_equal(secret_file_try("correct horse", 13, mode[i], &conf), -EACCES);
		assert_non_null(strstr(error_text(), "chmod 600"));
	}
}

static void secret__short_long_missing_or_twice__einval(void **state)
{
	struct config config = config_with("127.0.0.1:7", "", "2");
	static char long_text[TCP_SECRET_MAX + 1];
	struct tcp_conf conf;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	assert_int_equal(secret_file_try("1234567\n", 8, 0600, &conf), -EINVAL);
	assert_int_equal(secret_file_try("", 0, 0600, &conf), -EINVAL);
	assert_int_equal(secret_file_try("12345678", 8, 0600, &conf), 0);
	assert_int_equal(secret_file_try(long_text, sizeof(long_text), 0600, &conf), -EINVAL);
	strcpy(config.secret, "1234567");
	assert_int_equal(tcp_conf_load(&config, &conf), -EINVAL);
	assert_non_null(strstr(error_text(), "FARBUS_SECRET"));
	assert_null(strstr(error_text(), "1234567"));
	strcpy(config.secret, "12345678");
	assert_int_equal(tcp_conf_load(&config, &conf), 0);
	strcpy(config.secret_file, folder);
	assert_int_equal(tcp_conf_load(&config, &conf), -EINVAL);
	assert_non_null(strstr(error_text(), "both"));
	config.secret[0] = '\0';
	assert_int_equal(tcp_conf_load(&config, &conf), -EINVAL); /* a folder */
	strcpy(config.secret_file, "/no/such/file");
	assert_int_equal(tcp_conf_load(&config, &conf), -EINVAL);
	assert_non_null(strstr(error_text(), "/no/such/file"));
}

static void allows__no_secret__loopback_alone(void **state)
{
	static const struct {
		const char *host;
		bool loopback;
	} row[] = {
		{ "127.0.0.1", true },	      { "127.200.3.4", true }, { "::1", true },
		{ "::ffff:127.0.0.1", true }, { "0.0.0.0", false },    { "::", false },
		{ "10.77.0.1", false },	      { "128.0.0.1", false },  { "::ffff:10.0.0.1", false },
		{ "fe80::1", false },
	};
	struct tcp_conf conf = { .place = { .port = "7000" } };
	struct addrinfo *list;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		strcpy(conf.place.host, row[i].host);
		assert_int_equal(tcp_resolve(&conf.place, &list), 0);
		conf.has_secret = false;
		assert_int_equal(tcp_conf_allows(&conf, list), row[i].loopback ? 0 : -EINVAL);
		if (!row[i].loopback)
			assert_non_null(strstr(error_text(), "FARBUS_SECRET_FILE"));
		conf.has_secret = true;
		assert_int_equal(tcp_conf_allows(&conf, list), 0);
		freeaddrinfo(list);
	}
}

/* --- store --- */

static void store__as_many_blobs_as_it_takes__one_more_is_enospc(void **state)
{
	struct tcp_store *store;
	const void *value;
	char text[16];
	size_t len;

	(void)state;
	assert_int_equal(tcp_store_new(200, &store), 0);
	for (int i = 0; i < 200 * TCP_BLOB_MAX; i++) {
		snprintf(text, sizeof(text), "k%d", i);
		assert_int_equal(tcp_store_put(store, text, text, strlen(text)), 0);
	}
	assert_int_equal(tcp_store_put(store, "another", "x", 1), -ENOSPC);
	assert_int_equal(tcp_store_put(store, "k77", "", 0), 0); /* replaces */
	assert_int_equal(tcp_store_get(store, "another", &value, &len), -ENOENT);
	for (int i = 0; i < 200 * TCP_BLOB_MAX; i++) {
		snprintf(text, sizeof(text), "k%d", i);
		assert_int_equal(tcp_store_get(store, text, &value, &len), 0);
		assert_int_equal(len, i == 77 ? 0 : strlen(text));
		assert_memory_equal(value, text, len);
	}
	tcp_store_free(store);
	tcp_store_free(NULL);
}

static void store__no_memory__enomem_and_works_later(void **state)
{
	struct tcp_store *store = NULL;

	(void)state;
	alloc_fault_arm(1);
	assert_int_equal(tcp_store_new(1, &store), -ENOMEM);
	assert_int_equal(tcp_store_new(1, &store), 0);
	alloc_fault_arm(1);
	assert_int_equal(tcp_store_put(store, "k", "v", 1), -ENOMEM);
	assert_int_equal(tcp_store_put(store, "k", "v", 1), 0);
	tcp_store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(join_and_answer__same_secret__arrive_as_sent),
		cmocka_unit_test(join__any_bit_of_it_or_of_hello_changed__eacces),
		cmocka_unit_test(answer__any_bit_changed__refused_or_without_a_claim),
		cmocka_unit_test(head_check__each_prefix__as_soon_as_it_can_be_told),
		cmocka_unit_test(frame__shortest_and_longest__round_trip_at_their_last_byte),
		cmocka_unit_test(frame__any_bit_changed__no_message),
		cmocka_unit_test(message_parse__not_what_a_member_writes__eproto),
		cmocka_unit_test(place_parse__good_ones__host_and_port),
		cmocka_unit_test(place_parse__bad_ones__einval_names_the_setting),
		cmocka_unit_test(conf_load__rank_and_size__each_mistake_is_named),
		cmocka_unit_test(secret__file_and_setting__the_same_key_without_the_newline),
		cmocka_unit_test(secret__file_that_others_can_use__eacces_says_chmod),
		cmocka_unit_test(secret__short_long_missing_or_twice__einval),
		cmocka_unit_test(allows__no_secret__loopback_alone),
		cmocka_unit_test(store__as_many_blobs_as_it_takes__one_more_is_enospc),
		cmocka_unit_test(store__no_memory__enomem_and_works_later),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
