/* SPDX-License-Identifier: BSD-3-Clause */
/* run_pmi_test.c -- tests of apps/farbus-run/pmi_server.h and kvs.h */
#include "apps/farbus-run/kvs.h"
#include "apps/farbus-run/pmi_server.h"
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/boot/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANKS 3
#define HEARD_MAX 8192

/* A job that only writes down what it is told. */
struct job {
	struct pmi_server *server;
	char heard[RANKS][HEARD_MAX];
	int aborts, abort_code;
	uint32_t abort_rank;
	int stucks;
	uint32_t stuck_gone, stuck_waiting;
	int release; /* answer a fence that is stuck, as --keep-going does */
};

static void on_send(void *arg, uint32_t rank, const char *line, size_t len)
{
	struct job *job = arg;

	assert_true(strlen(job->heard[rank]) + len < HEARD_MAX);
	strncat(job->heard[rank], line, len);
}

static void on_abort(void *arg, uint32_t rank, int code)
{
	struct job *job = arg;

	job->aborts++;
	job->abort_rank = rank;
	job->abort_code = code;
}

static void on_stuck(void *arg, uint32_t gone, uint32_t waiting)
{
	struct job *job = arg;

	job->stucks++;
	job->stuck_gone = gone;
	job->stuck_waiting = waiting;
	if (job->release)
		pmi_server_release(job->server);
}

static const struct pmi_server_ops ops = { on_send, on_abort, on_stuck };

static int say(struct job *job, uint32_t rank, const char *text)
{
	return pmi_server_input(job->server, rank, text, strlen(text));
}

/* What the rank heard since the last time. */
static void heard(struct job *job, uint32_t rank, const char *text)
{
	assert_string_equal(job->heard[rank], text);
	job->heard[rank][0] = '\0';
}

static void quiet(struct job *job)
{
	for (uint32_t i = 0; i < RANKS; i++)
		job->heard[i][0] = '\0';
}

static int job_open(void **state)
{
	static struct job job;

	memset(&job, 0, sizeof(job));
	*state = &job;
	return pmi_server_new(RANKS, &ops, &job, &job.server);
}

static int job_ready(void **state)
{
	struct job *job;
	int err = job_open(state);

	job = *state;
	for (uint32_t i = 0; i < RANKS && err == 0; i++)
		err = say(job, i, "cmd=init pmi_version=1 pmi_subversion=1\n");
	quiet(job);
	return err;
}

static int job_close(void **state)
{
	struct job *job = *state;

	pmi_server_free(job->server);
	return 0;
}

static void init__version_1__ready(void **state)
{
	struct job *job = *state;

	assert_int_equal(say(job, 1, "cmd=init pmi_version=1 pmi_subversion=1\n"), 0);
	heard(job, 1, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
	heard(job, 0, "");
}

static void init__another_version__refused_and_may_try_again(void **state)
{
	struct job *job = *state;

	assert_int_equal(say(job, 0, "cmd=init pmi_version=2 pmi_subversion=0\n"), 0);
	assert_non_null(strstr(job->heard[0], "rc=-1"));
	assert_int_equal(say(job, 0, "cmd=init\n"), 0);
	assert_non_null(strstr(job->heard[0], "rc=-1"));
	job->heard[0][0] = '\0';
	assert_int_equal(say(job, 0, "cmd=init pmi_version=1 pmi_subversion=1\n"), 0);
	heard(job, 0, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
}

static void questions__after_init__answers_as_hydra(void **state)
{
	struct job *job = *state;

	assert_int_equal(say(job, 2,
			     "cmd=get_maxes\ncmd=get_appnum\ncmd=get_universe_size\n"
			     "cmd=get_my_kvsname\n"),
			 0);
	heard(job, 2,
	      "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024 rc=0\n"
	      "cmd=appnum appnum=0 rc=0\ncmd=universe_size size=3 rc=0\n"
	      "cmd=my_kvsname kvsname=farbus rc=0\n");
	assert_int_equal(say(job, 2, "cmd=publish_name\ncmd=unpublish_name\ncmd=lookup_name\n"), 0);
	heard(job, 2,
	      "cmd=publish_result rc=-1 info=not_supported msg=not_supported\n"
	      "cmd=unpublish_result rc=-1 info=not_supported msg=not_supported\n"
	      "cmd=lookup_result rc=-1 info=not_supported msg=not_supported\n");
}

static void input__byte_by_byte_and_all_at_once__the_same(void **state)
{
	static const char text[] = "cmd=put kvsname=farbus key=a value=1\r\n"
				   "  cmd=get\tkvsname=farbus key=a\n";
	static const char answers[] = "cmd=put_result rc=0 msg=success\n"
				      "cmd=get_result rc=0 msg=success value=1\n";
	struct job *job = *state;

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		assert_int_equal(pmi_server_input(job->server, 0, &text[i], 1), 0);
	heard(job, 0, answers);
	assert_int_equal(say(job, 1, text), 0);
	heard(job, 1, answers);
}

static void put_get__what_is_refused__says_which(void **state)
{
	static const struct {
		const char *line, *answer;
	} row[] = {
		{ "cmd=put kvsname=other key=a value=1\n", "rc=-1 msg=no_such_kvs" },
		{ "cmd=put key=a value=1\n", "rc=-1 msg=no_such_kvs" },
		{ "cmd=put kvsname=farbus value=1\n", "rc=-1 msg=no_key" },
		{ "cmd=put kvsname=farbus key= value=1\n", "rc=-1 msg=no_key" },
		{ "cmd=put kvsname=farbus key=a\n", "rc=-1 msg=no_value" },
		{ "cmd=get kvsname=other key=a\n", "rc=-1 msg=no_such_kvs" },
		{ "cmd=get kvsname=farbus\n", "rc=-1 msg=no_key" },
		{ "cmd=get kvsname=farbus key=none\n", "rc=-1 msg=key_not_found" },
		{ "cmd=put kvsname=farbus key=e value=\n", "rc=0 msg=success" },
		{ "cmd=get kvsname=farbus key=e\n", "rc=0 msg=success value=\n" },
		{ "cmd=get kvsname=farbus key=PMI_process_mapping\n", "value=(vector,(0,1,3))" },
	};
	struct job *job = *state;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(say(job, 0, row[i].line), 0);
		assert_non_null(strstr(job->heard[0], row[i].answer));
		job->heard[0][0] = '\0';
	}
}

static void put__longest_key_and_value__fit_and_one_more_is_refused(void **state)
{
	struct job *job = *state;
	char line[WIRE_LINE_MAX];

	for (int more = 0; more <= 1; more++) {
		snprintf(line, sizeof(line), "cmd=put kvsname=farbus key=%0*d value=%0*d\n",
			 WIRE_KEY_MAX - 1 + more, 7, WIRE_VALUE_MAX - 1, 8);
		assert_int_equal(say(job, 0, line), 0);
		assert_non_null(strstr(job->heard[0], more ? "rc=-1 msg=no_key" : "rc=0"));
		job->heard[0][0] = '\0';
	}
	snprintf(line, sizeof(line), "cmd=put kvsname=farbus key=a value=%0*d\n", WIRE_VALUE_MAX,
		 8);
	assert_int_equal(say(job, 0, line), 0);
	assert_non_null(strstr(job->heard[0], "rc=-1 msg=no_value"));
	snprintf(line, sizeof(line), "cmd=get kvsname=farbus key=%0*d\n", WIRE_KEY_MAX - 1, 7);
	job->heard[0][0] = '\0';
	assert_int_equal(say(job, 0, line), 0);
	assert_int_equal(strlen(job->heard[0]),
			 strlen("cmd=get_result rc=0 msg=success value=\n") + WIRE_VALUE_MAX - 1);
}

static void fence__all_come__all_go_at_once(void **state)
{
	struct job *job = *state;

	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < RANKS; i++) {
			for (uint32_t j = 0; j < RANKS; j++)
				heard(job, j, "");
			assert_int_equal(
				say(job, (i + (uint32_t)round) % RANKS, "cmd=barrier_in\n"), 0);
		}
		for (uint32_t i = 0; i < RANKS; i++)
			heard(job, i, "cmd=barrier_out rc=0\n");
	}
	assert_int_equal(job->stucks, 0);
}

static void fence__one_is_gone_or_done__reported(void **state)
{
	struct job *job = *state;

	assert_int_equal(say(job, 0, "cmd=barrier_in\n"), 0);
	assert_int_equal(say(job, 1, "cmd=finalize\n"), 0);
	heard(job, 1, "cmd=finalize_ack rc=0\n");
	assert_int_equal(job->stucks, 1);
	assert_int_equal(job->stuck_gone, 1);
	assert_int_equal(job->stuck_waiting, 1);
	assert_int_equal(say(job, 2, "cmd=barrier_in\n"), 0);
	assert_int_equal(job->stucks, 2);
	assert_int_equal(job->stuck_waiting, 2);
	pmi_server_gone(job->server, 1); /* finalized before: the same */
	pmi_server_gone(job->server, 1); /* gone before: no news */
	assert_int_equal(job->stucks, 3);
	heard(job, 0, "");
	pmi_server_release(job->server);
	heard(job, 0, "cmd=barrier_out rc=-1 msg=a_rank_has_ended\n");
	heard(job, 2, "cmd=barrier_out rc=-1 msg=a_rank_has_ended\n");
	heard(job, 1, "");
}

static void fence__released_inside_the_report__the_last_to_come_too(void **state)
{
	struct job *job = *state;

	job->release = 1;
	pmi_server_gone(job->server, 2);
	assert_int_equal(job->stucks, 0); /* nobody waits */
	for (int round = 0; round < 2; round++) {
		assert_int_equal(say(job, 0, "cmd=barrier_in\n"), 0);
		heard(job, 0, "cmd=barrier_out rc=-1 msg=a_rank_has_ended\n");
	}
}

static void fence__one_that_waits_goes__the_others_can_not_end(void **state)
{
	struct job *job = *state;

	assert_int_equal(say(job, 0, "cmd=barrier_in\n"), 0);
	assert_int_equal(say(job, 1, "cmd=barrier_in\n"), 0);
	pmi_server_gone(job->server, 0);
	assert_int_equal(job->stuck_gone, 0);
	assert_int_equal(job->stuck_waiting, 1);
	assert_int_equal(say(job, 2, "cmd=barrier_in\n"), 0);
	heard(job, 1, "");
	heard(job, 2, "");
}

static void abort__at_any_time__code_of_the_rank(void **state)
{
	struct job *job = *state; /* nobody said init */

	assert_int_equal(say(job, 1, "cmd=abort exitcode=7\n"), 0);
	assert_int_equal(job->abort_rank, 1);
	assert_int_equal(job->abort_code, 7);
	assert_int_equal(say(job, 0, "cmd=init pmi_version=1\ncmd=barrier_in\ncmd=abort\n"), 0);
	assert_int_equal(job->abort_rank, 0);
	assert_int_equal(job->abort_code, 1);
	assert_int_equal(say(job, 0, "cmd=abort exitcode=-2147483648\n"), 0);
	assert_int_equal(job->abort_code, -2147483647 - 1);
	assert_int_equal(say(job, 0, "cmd=abort exitcode=2147483648\n"), 0);
	assert_int_equal(job->abort_code, 1);
	assert_int_equal(job->aborts, 4);
}

/* The rank is gone then; the others go on. */
static void violation__each__eproto_and_only_that_rank_is_gone(void **state)
{
	static char endless[WIRE_LINE_MAX + 1];
	static const struct {
		const char *before, *text, *what;
	} row[] = {
		{ "", "cmd=get_maxes\n", "before init" },
		{ "cmd=init pmi_version=1\n", "cmd=init pmi_version=1\n", "second init" },
		{ "cmd=init pmi_version=1\ncmd=barrier_in\n", "cmd=get_maxes\n", "in a fence" },
		{ "cmd=init pmi_version=1\ncmd=barrier_in\n", "cmd=barrier_in\n", "in a fence" },
		{ "cmd=init pmi_version=1\ncmd=barrier_in\n", "cmd=finalize\n", "in a fence" },
		{ "cmd=init pmi_version=1\ncmd=finalize\n", "cmd=get_maxes\n", "after finalize" },
		{ "cmd=init pmi_version=1\ncmd=finalize\n", "cmd=finalize\n", "after finalize" },
		{ "cmd=init pmi_version=1\n", "cmd=spawn\n", "unknown command" },
		{ "cmd=init pmi_version=1\n", "\n", "no command" },
		{ "cmd=init pmi_version=1\n", "hello\n", "no command" },
		{ "cmd=init pmi_version=1\n",
		  "cmd=a_command_that_is_longer_than_all_that_there_are\n", "no command" },
		{ "cmd=init pmi_version=1\n", endless, "without a newline" },
	};

	(void)state;
	memset(endless, 'x', WIRE_LINE_MAX);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		void *fresh;
		struct job *job;

		assert_int_equal(job_open(&fresh), 0);
		job = fresh;
		assert_int_equal(say(job, 0, "cmd=init pmi_version=1\n"), 0);
		assert_int_equal(say(job, 1, row[i].before), 0);
		quiet(job);
		assert_int_equal(say(job, 1, row[i].text), -EPROTO);
		assert_non_null(strstr(error_text(), "rank 1"));
		assert_non_null(strstr(error_text(), row[i].what));
		assert_int_equal(say(job, 1, "cmd=init pmi_version=1\n"), 0); /* not heard */
		heard(job, 1, "");
		assert_int_equal(say(job, 0, "cmd=get_appnum\n"), 0);
		heard(job, 0, "cmd=appnum appnum=0 rc=0\n");
		pmi_server_free(job->server);
	}
}

static void violation__zero_byte__eproto(void **state)
{
	static const char text[] = "cmd=get_maxes\0 rc=1\n";
	struct job *job = *state;

	assert_int_equal(pmi_server_input(job->server, 1, text, sizeof(text) - 1), -EPROTO);
	assert_non_null(strstr(error_text(), "zero byte"));
	heard(job, 1, "");
}

/* What follows the bad line in the same read is not carried out. */
static void violation__lines_after_it__not_heard(void **state)
{
	struct job *job = *state;

	assert_int_equal(say(job, 0, "cmd=get_appnum\nnonsense\ncmd=abort exitcode=3\n"), -EPROTO);
	heard(job, 0, "cmd=appnum appnum=0 rc=0\n");
	assert_int_equal(job->aborts, 0);
}

static void input__line_as_long_as_may_be__taken(void **state)
{
	struct job *job = *state;
	char line[WIRE_LINE_MAX + 1];

	snprintf(line, sizeof(line), "cmd=get_appnum %0*d\n", WIRE_LINE_MAX - 16, 0);
	assert_int_equal(strlen(line), WIRE_LINE_MAX);
	assert_int_equal(say(job, 0, line), 0);
	assert_int_equal(say(job, 0, line), 0);
	heard(job, 0, "cmd=appnum appnum=0 rc=0\ncmd=appnum appnum=0 rc=0\n");
}

static void new__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct pmi_server *server;
	unsigned long n = 0;
	int err;

	(void)state;
	do {
		alloc_fault_arm(++n);
		err = pmi_server_new(RANKS, &ops, NULL, &server);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_true(n > 4);
	pmi_server_free(server);
	pmi_server_free(NULL);
}

/* --- kvs --- */

static void kvs__full__enospc_but_old_keys_change(void **state)
{
	struct kvs *kvs;
	char key[16], value[16];

	(void)state;
	assert_int_equal(kvs_new(&kvs), 0);
	for (int i = 0; i < KVS_ENTRY_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		snprintf(value, sizeof(value), "v%d", i * 3);
		assert_int_equal(kvs_put(kvs, key, value), 0);
	}
	assert_int_equal(kvs_put(kvs, "one more", "x"), -ENOSPC);
	assert_null(kvs_get(kvs, "one more"));
	assert_int_equal(kvs_put(kvs, "k77", "new"), 0);
	for (int i = 0; i < KVS_ENTRY_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		snprintf(value, sizeof(value), "v%d", i * 3);
		assert_string_equal(kvs_get(kvs, key), i == 77 ? "new" : value);
	}
	kvs_free(kvs);
	kvs_free(NULL);
}

static void kvs__every_allocation_fails_once__enomem_and_nothing_lost(void **state)
{
	struct kvs *kvs;
	char key[16];

	(void)state;
	alloc_fault_arm(2);
	assert_int_equal(kvs_new(&kvs), -ENOMEM);
	assert_int_equal(kvs_new(&kvs), 0);
	for (int i = 0; i < 200; i++) {
		unsigned long n = 0;

		snprintf(key, sizeof(key), "k%d", i);
		do
			alloc_fault_arm(++n);
		while (kvs_put(kvs, key, key) == -ENOMEM);
		assert_true(n >= 3);
		alloc_fault_arm(1);
		assert_int_equal(kvs_put(kvs, key, "new"), -ENOMEM);
		assert_string_equal(kvs_get(kvs, key), key);
	}
	alloc_fault_arm(0);
	for (int i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_string_equal(kvs_get(kvs, key), key);
	}
	kvs_free(kvs);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, job_open, job_close)
#define READY(test) cmocka_unit_test_setup_teardown(test, job_ready, job_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(init__version_1__ready),
		FRESH(init__another_version__refused_and_may_try_again),
		READY(questions__after_init__answers_as_hydra),
		READY(input__byte_by_byte_and_all_at_once__the_same),
		READY(put_get__what_is_refused__says_which),
		READY(put__longest_key_and_value__fit_and_one_more_is_refused),
		READY(fence__all_come__all_go_at_once),
		READY(fence__one_is_gone_or_done__reported),
		READY(fence__released_inside_the_report__the_last_to_come_too),
		READY(fence__one_that_waits_goes__the_others_can_not_end),
		FRESH(abort__at_any_time__code_of_the_rank),
		cmocka_unit_test(violation__each__eproto_and_only_that_rank_is_gone),
		READY(violation__zero_byte__eproto),
		READY(violation__lines_after_it__not_heard),
		READY(input__line_as_long_as_may_be__taken),
		cmocka_unit_test(new__every_allocation_fails_once__enomem_and_no_leak),
		cmocka_unit_test(kvs__full__enospc_but_old_keys_change),
		cmocka_unit_test(kvs__every_allocation_fails_once__enomem_and_nothing_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
