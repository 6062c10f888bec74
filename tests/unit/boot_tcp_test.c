/* SPDX-License-Identifier: BSD-3-Clause */
/* boot_tcp_test.c -- tests of FARBUS_JOIN: ranks that meet, and what they may ask */
#include "base/alloc.h"
#include "base/error.h"
#include "boot_tcp_common.h"
#include "runtime/boot/boot.h"
#include "runtime/boot/tcp_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int place(void **state)
{
	(void)state;
	place_next();
	return 0;
}

/* Leaves a blob, and after the fence reads everybody's. */
static void exchange_body(struct rank *rank)
{
	char key[BOOT_KEY_MAX], value[BOOT_VALUE_MAX];
	size_t len = 0;

	snprintf(key, sizeof(key), "card-%u", rank->info.rank);
	rank->body_err = tcp_put(rank->tcp, key, &rank->info.rank, sizeof(rank->info.rank));
	if (rank->body_err == 0)
		rank->body_err = tcp_fence(rank->tcp, WAIT_NS);
	for (uint32_t r = 0; r < rank->info.size && rank->body_err == 0; r++) {
		snprintf(key, sizeof(key), "card-%u", r);
		rank->body_err = tcp_get(rank->tcp, key, value, sizeof(value), &len, WAIT_NS);
		if (rank->body_err == 0 && (len != sizeof(r) || memcmp(value, &r, len) != 0))
			rank->body_err = -EPROTO;
	}
	/* Nobody closes before all have read. */
	if (rank->body_err == 0)
		rank->body_err = tcp_fence(rank->tcp, WAIT_NS);
}

static void job_passes(struct rank *rank, int count)
{
	bool seen[RANKS_MAX] = { false };

	for (int i = 0; i < count; i++) {
		rank[i].body = exchange_body;
		rank_start(&rank[i]);
	}
	for (int i = 0; i < count; i++) {
		rank_end(&rank[i]);
		if (rank[i].err || rank[i].body_err)
			print_error("%d, %d: %s\n", rank[i].err, rank[i].body_err, rank[i].text);
		assert_int_equal(rank[i].err, 0);
		assert_int_equal(rank[i].body_err, 0);
		assert_int_equal(rank[i].info.size, count);
		assert_string_equal(rank[i].info.source, "tcp");
		assert_in_range(rank[i].info.rank, 0, count - 1);
		assert_false(seen[rank[i].info.rank]);
		seen[rank[i].info.rank] = true;
	}
}

static void open__ranks_given__each_its_own_and_all_blobs(void **state)
{
	struct rank rank[3] = { { .config = join_conf("2", "3") },
				{ .config = join_conf("1", "") }, /* rank 0 knows the size */
				{ .config = join_conf("0", "3") } };

	(void)state;
	job_passes(rank, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(rank[i].info.rank, 2 - i);
		assert_int_equal(rank[i].info.local_rank, 2 - i);
		assert_int_equal(rank[i].info.local_size, 3);
	}
}

/* Whoever is first listens; which one that is, is left to chance. */
static void open__no_ranks_given__each_gets_one(void **state)
{
	struct rank rank[6];

	(void)state;
	for (int round = 0; round < 3; round++) {
		memset(rank, 0, sizeof(rank));
		place_next();
		for (int i = 0; i < 6; i++)
			rank[i].config = join_conf("", i < 3 ? "6" : "");
		job_passes(rank, 6);
	}
}

static void open__one_rank__alone(void **state)
{
	struct rank rank = { .config = join_conf("0", "1") };

	(void)state;
	job_passes(&rank, 1);
}

static void open__no_secret_on_loopback__joins(void **state)
{
	struct rank rank[2] = { { .config = join_conf("0", "2") },
				{ .config = join_conf("1", "2") } };

	(void)state;
	rank[0].config.secret[0] = rank[1].config.secret[0] = '\0';
	job_passes(rank, 2);
}

static void open__ipv6__joins(void **state)
{
	struct rank rank[2] = { { .config = join_conf("0", "2") },
				{ .config = join_conf("1", "2") } };
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	(void)state;
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		close(fd);
		skip();
	}
	/* A port that was free a moment ago: IPv6 has but one loopback address. */
	assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
	close(fd);
	for (int i = 0; i < 2; i++)
		snprintf(rank[i].config.join, sizeof(rank[i].config.join), "[::1]:%u",
			 ntohs(any.sin6_port));
	job_passes(rank, 2);
}

/* FARBUS_NODE says which ranks share a host. */
static void open__three_nodes__local_ranks_per_node(void **state)
{
	static const struct {
		const char *node;
		uint32_t local_rank, local_size;
	} row[] = { { "a", 0, 3 }, { "b", 0, 2 }, { "a", 1, 3 },
		    { "c", 0, 1 }, { "b", 1, 2 }, { "a", 2, 3 } };
	struct rank rank[6];

	(void)state;
	memset(rank, 0, sizeof(rank));
	for (int i = 0; i < 6; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", i);
		rank[i].config = join_conf(text, "6");
		strcpy(rank[i].config.node, row[i].node);
	}
	job_passes(rank, 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(rank[i].info.local_rank, row[i].local_rank);
		assert_int_equal(rank[i].info.local_size, row[i].local_size);
	}
}

/* A job can start at an address right after another one ended there. */
static void open__again_at_the_same_address__the_next_job(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		struct rank rank[3] = { { .config = join_conf("0", "3") },
					{ .config = join_conf("1", "3") },
					{ .config = join_conf("2", "3") } };

		job_passes(rank, 3);
	}
}

/* --- refusals --- */

/* With a job of 2 at work there, one more that wants to join gets this. */
static void late_comer(const struct config *config, int err, const char *text)
{
	struct rank rank[2] = { { .config = join_conf("0", "2"), .stay = true },
				{ .config = join_conf("1", "2"), .stay = true } };
	struct rank more = { .config = *config };

	for (int i = 0; i < 2; i++)
		rank_start(&rank[i]);
	for (int i = 0; i < 2; i++)
		rank_end(&rank[i]);
	rank_start(&more);
	rank_end(&more);
	if (more.err != err || !strstr(more.text, text))
		print_error("%d: %s\n", more.err, more.text);
	assert_int_equal(more.err, err);
	assert_non_null(strstr(more.text, text));
	/* Nobody was disturbed. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rank[i].err, 0);
		assert_int_equal(tcp_put(rank[i].tcp, "k", "v", 1), 0);
	}
	rank_close(&rank[1]);
	rank_close(&rank[0]);
}

static void open__other_secret_or_none__eacces(void **state)
{
	struct config config = join_conf("1", "2");

	(void)state;
	strcpy(config.secret, "for that test");
	late_comer(&config, -EACCES, "FARBUS_SECRET");
	config.secret[0] = '\0';
	place_next();
	strcpy(config.join, join_conf("", "").join);
	late_comer(&config, -EACCES, "this one has none");
}

static void open__other_size__eproto_names_both(void **state)
{
	struct config config = join_conf("1", "3");

	(void)state;
	late_comer(&config, -EPROTO, "FARBUS_SIZE=3");
}

static void open__rank_not_below_size__einval(void **state)
{
	struct config config = join_conf("2", "");

	(void)state;
	late_comer(&config, -EINVAL, "ranks 0 to 1");
}

static void open__rank_taken__eexist(void **state)
{
	struct config config = join_conf("1", "2");

	(void)state;
	late_comer(&config, -EEXIST, "rank 1 of the job");
}

static void open__all_ranks_taken__eexist(void **state)
{
	struct config config = join_conf("", "");

	(void)state;
	late_comer(&config, -EEXIST, "all 2 ranks");
}

static void open__second_rank_0__eexist(void **state)
{
	struct config config = join_conf("0", "2");

	(void)state;
	late_comer(&config, -EEXIST, "is taken");
}

static void open__address_of_nobody_here__enoent(void **state)
{
	struct config config = join_conf("0", "2");
	struct rank rank = { .config = config };

	(void)state;
	strcpy(rank.config.join, "192.0.2.1:7000"); /* for documentation: nobody has it */
	rank_start(&rank);
	rank_end(&rank);
	assert_int_equal(rank.err, -ENOENT);
	assert_non_null(strstr(rank.text, "FARBUS_JOIN"));
}

static void open__not_loopback_without_secret__einval_before_a_byte_is_sent(void **state)
{
	struct rank rank = { .config = join_conf("1", "2") };

	(void)state;
	strcpy(rank.config.join, "192.0.2.1:7000");
	rank.config.secret[0] = '\0';
	rank_start(&rank);
	rank_end(&rank);
	assert_int_equal(rank.err, -EINVAL);
	assert_non_null(strstr(rank.text, "without a secret"));
}

/* --- put, get --- */

static void limits_body(struct rank *rank)
{
	static char blob[BOOT_VALUE_MAX + 1], back[BOOT_VALUE_MAX];
	char key[BOOT_KEY_MAX + 1];
	size_t len = 77;

	memset(key, 'k', sizeof(key));
	key[BOOT_KEY_MAX] = '\0';
	memset(blob, 0xa5, sizeof(blob));
	assert_int_equal(tcp_put(rank->tcp, key, "x", 1), -EINVAL);
	assert_int_equal(tcp_put(rank->tcp, "", "x", 1), -EINVAL);
	assert_int_equal(tcp_put(rank->tcp, "a b", "x", 1), -EINVAL);
	key[BOOT_KEY_MAX - 1] = '\0';
	assert_int_equal(tcp_put(rank->tcp, key, blob, BOOT_VALUE_MAX + 1), -EMSGSIZE);
	assert_int_equal(tcp_put(rank->tcp, key, blob, BOOT_VALUE_MAX), 0);
	assert_int_equal(tcp_get(rank->tcp, key, back, BOOT_VALUE_MAX - 1, &len, WAIT_NS),
			 -EMSGSIZE);
	assert_int_equal(tcp_get(rank->tcp, "other", back, sizeof(back), &len, WAIT_NS), -ENOENT);
	assert_non_null(strstr(error_text(), "other"));
	assert_int_equal(len, 77);
	assert_int_equal(back[0], 0);
	assert_int_equal(tcp_get(rank->tcp, key, back, sizeof(back), &len, WAIT_NS), 0);
	assert_int_equal(len, BOOT_VALUE_MAX);
	assert_memory_equal(back, blob, len);
	assert_int_equal(tcp_put(rank->tcp, key, "short", 5), 0);
	assert_int_equal(tcp_get(rank->tcp, key, back, sizeof(back), &len, WAIT_NS), 0);
	assert_int_equal(len, 5);
	for (int i = 1; i < TCP_BLOB_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(tcp_put(rank->tcp, key, "", 0), 0);
	}
	assert_int_equal(tcp_put(rank->tcp, "one-more", "x", 1), -ENOSPC);
	assert_int_equal(tcp_fence(rank->tcp, WAIT_NS), 0);
}

static void put_get__limits__said_and_survived(void **state)
{
	struct rank rank = { .config = join_conf("0", "1"), .stay = true };

	(void)state;
	rank_start(&rank);
	rank_end(&rank);
	assert_int_equal(rank.err, 0);
	limits_body(&rank);
	rank_close(&rank);
	rank_close(&rank); /* takes NULL */
}

/* --- through boot.h --- */

static void boot_open__join_is_set__tcp_unless_forced_otherwise(void **state)
{
	struct config config = join_conf("0", "1");
	struct boot_info info;
	struct boot *boot;
	char value[4];
	size_t len;

	(void)state;
	unsetenv("PMI_FD");
	for (int i = 0; i < 3; i++) {
		static const char *const forced[] = { "auto", "tcp", "single" };

		strcpy(config.boot, forced[i]);
		assert_int_equal(boot_open(&config, WAIT_NS, &boot, &info), 0);
		assert_string_equal(info.source, i < 2 ? "tcp" : "single");
		assert_int_equal(boot_put(boot, "k", "v", 2), 0);
		assert_int_equal(boot_fence(boot, WAIT_NS), 0);
		assert_int_equal(boot_get(boot, "k", value, sizeof(value), &len, WAIT_NS), 0);
		assert_int_equal(len, 2);
		boot_close(boot);
	}
	config.join[0] = '\0';
	strcpy(config.boot, "tcp");
	assert_int_equal(boot_open(&config, WAIT_NS, &boot, &info), -EINVAL);
	assert_non_null(strstr(error_text(), "FARBUS_JOIN"));
}

static void open__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct config config = join_conf("0", "1");
	struct boot_info info;
	struct tcp *tcp;
	unsigned long n = 0;
	int err;

	(void)state;
	do {
		alloc_fault_arm(++n);
		err = tcp_open(&config, WAIT_NS, &tcp, &info);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_int_equal(n, 5); /* client, server, store, rank 0's connection */
	tcp_close(tcp);
}

#define CASE(name) cmocka_unit_test_setup(name, place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(open__ranks_given__each_its_own_and_all_blobs),
		CASE(open__no_ranks_given__each_gets_one),
		CASE(open__one_rank__alone),
		CASE(open__no_secret_on_loopback__joins),
		CASE(open__ipv6__joins),
		CASE(open__three_nodes__local_ranks_per_node),
		CASE(open__again_at_the_same_address__the_next_job),
		CASE(open__other_secret_or_none__eacces),
		CASE(open__other_size__eproto_names_both),
		CASE(open__rank_not_below_size__einval),
		CASE(open__rank_taken__eexist),
		CASE(open__all_ranks_taken__eexist),
		CASE(open__second_rank_0__eexist),
		CASE(open__address_of_nobody_here__enoent),
		CASE(open__not_loopback_without_secret__einval_before_a_byte_is_sent),
		CASE(put_get__limits__said_and_survived),
		CASE(boot_open__join_is_set__tcp_unless_forced_otherwise),
		CASE(open__every_allocation_fails_once__enomem_and_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
