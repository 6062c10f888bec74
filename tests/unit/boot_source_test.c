/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot_source_test.c -- tests of runtime/boot/: the choice of a source, single, the PMI-1 client
 *
 * The launcher is this test: its answers are in the socket before the client asks. A process has
 * one channel to its launcher, so every case of the client runs in a child.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base_common.h"
#include "runtime/boot/boot.h"
#include "runtime/boot/single.h"
#include "runtime/boot/source.h"
#include "runtime/boot/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_NS (20 * NS_PER_S)
#define SHORT_NS NS_PER_MS

#define HELLO                                                        \
	"cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n" \
	"cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024\n"  \
	"cmd=my_kvsname kvsname=kvs_0\n"
#define HELLO_REQUESTS \
	"cmd=init pmi_version=1 pmi_subversion=1\ncmd=get_maxes\ncmd=get_my_kvsname\n"

static void environment_set(int fd)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	setenv("PMI_FD", text, 1);
	setenv("PMI_RANK", "2", 1);
	setenv("PMI_SIZE", "4", 1);
	setenv("MPI_LOCALRANKID", "1", 1);
	setenv("MPI_LOCALNRANKS", "2", 1);
}

/* Returns the launcher's end, with these answers on their way. */
static int launcher_start(const char *answers)
{
	int fd[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	environment_set(fd[0]);
	CHECK(write(fd[1], answers, strlen(answers)) == (ssize_t)strlen(answers));
	return fd[1];
}

static void launcher_say(int fd, const char *answer)
{
	CHECK(write(fd, answer, strlen(answer)) == (ssize_t)strlen(answer));
}

/* What the client asked since the last time. */
static void launcher_heard(int fd, const char *requests)
{
	char text[8192];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	CHECK(n >= 0 || errno == EAGAIN || errno == ECONNRESET);
	text[n > 0 ? n : 0] = '\0';
	if (strcmp(text, requests) == 0)
		return;
	dprintf(2, "heard: %s", text);
	CHECK(!"the requests that were expected");
}

static struct pmi1 *client_open(struct boot_info *ret_info)
{
	static struct pmi1 *pmi1; /* one that is not closed is no leak to be reported */
	int err = pmi1_open(WAIT_NS, &pmi1, ret_info);

	if (err < 0)
		dprintf(2, "%s\n", error_text());
	CHECK(err == 0);
	return pmi1;
}

static void client_ready(int *ret_launcher, struct pmi1 **ret_pmi1)
{
	struct boot_info info;

	*ret_launcher = launcher_start(HELLO);
	*ret_pmi1 = client_open(&info);
	launcher_heard(*ret_launcher, HELLO_REQUESTS);
}

#define CHILD_TEST(name)                       \
	static void name(void **state)         \
	{                                      \
		(void)state;                   \
		child_passes(in_##name, NULL); \
	}

/* --- open --- */

static void in_open__answers_of_hydra__rank_size_and_place(void *arg)
{
	int launcher = launcher_start(HELLO);
	struct boot_info info;
	struct pmi1 *pmi1 = client_open(&info);

	(void)arg;
	CHECK(strcmp(info.source, "pmi1") == 0);
	CHECK(info.rank == 2 && info.size == 4);
	CHECK(info.local_rank == 1 && info.local_size == 2);
	CHECK(fcntl(atoi(getenv("PMI_FD")), F_GETFD) & FD_CLOEXEC);
	launcher_heard(launcher, HELLO_REQUESTS);
	launcher_say(launcher, "cmd=finalize_ack\n");
	pmi1_close(pmi1);
	launcher_heard(launcher, "cmd=finalize\n");
	CHECK(recv(launcher, &info, 1, MSG_DONTWAIT) == 0);
}
CHILD_TEST(open__answers_of_hydra__rank_size_and_place)

/* Without the local variables the launcher's mapping says it, or nothing does. */
static void local_from(const char *answer, uint32_t local_rank, uint32_t local_size)
{
	char answers[1024];
	struct boot_info info;
	int launcher;

	snprintf(answers, sizeof(answers), "%s%s", HELLO, answer);
	launcher = launcher_start(answers);
	unsetenv("MPI_LOCALRANKID");
	client_open(&info);
	CHECK(info.local_rank == local_rank && info.local_size == local_size);
	launcher_heard(launcher, HELLO_REQUESTS "cmd=get kvsname=kvs_0 key=PMI_process_mapping\n");
}

static void in_open__no_local_rank_but_a_mapping__from_that(void *arg)
{
	(void)arg;
	local_from("cmd=get_result rc=0 msg=success value=(vector,(0,1,2),(1,1,2))\n", 0, 2);
}
CHILD_TEST(open__no_local_rank_but_a_mapping__from_that)

static void in_open__no_local_rank_and_no_mapping__as_if_all_were_here(void *arg)
{
	(void)arg;
	local_from("cmd=get_result rc=-1 msg=key_not_found value=unknown\n", 2, 4);
}
CHILD_TEST(open__no_local_rank_and_no_mapping__as_if_all_were_here)

static void in_open__mapping_is_nonsense__as_if_all_were_here(void *arg)
{
	(void)arg;
	local_from("cmd=get_result rc=0 value=(vector,(0,0,0))\n", 2, 4);
}
CHILD_TEST(open__mapping_is_nonsense__as_if_all_were_here)

struct refusal {
	const char *answers, *text;
};

/* The launcher says this, then nothing more. */
static void open_refused(void *arg)
{
	const struct refusal *refusal = arg;
	int launcher = launcher_start(refusal->answers);
	struct boot_info info = { .rank = 77 };
	struct pmi1 *pmi1 = NULL;
	int err;

	CHECK(shutdown(launcher, SHUT_WR) == 0);
	err = pmi1_open(WAIT_NS, &pmi1, &info);
	if (err != -EPROTO || !strstr(error_text(), refusal->text))
		dprintf(2, "%d: %s\n", err, error_text());
	CHECK(err == -EPROTO);
	CHECK(strstr(error_text(), refusal->text));
	CHECK(!pmi1 && info.rank == 77);
}

static void open__wrong_answers__eproto_says_which(void **state)
{
	static const char init[] = "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n";
	static char name[600], line[WIRE_LINE_MAX + 100];
	struct refusal refusal[] = {
		{ "", "closed" },
		{ "cmd=resp", "closed" },
		{ "hello\n", "hello" },
		{ "\n", "response_to_init" },
		{ "cmd=maxes\n", "response_to_init" },
		{ "cmd=response_to_init_and_a_very_long_word_behind_it\n", "response_to_init" },
		{ "cmd=response_to_init rc=-1 msg=no\n", "refused PMI version 1: no" },
		{ "cmd=response_to_init rc=x\n", "refused PMI version 1: no reason" },
		{ "cmd=response_to_init pmi_version=2 rc=0\n", "another PMI" },
		{ "cmd=response_to_init rc=0\n", "another PMI" },
		{ NULL, "no usable limits" },
		{ NULL, "no usable limits" },
		{ NULL, "no usable kvs name" },
		{ NULL, "no usable kvs name" },
		{ name, "no usable kvs name" },
		{ line, "without a newline" },
	};
	static const char *const after[] = {
		"cmd=maxes\n",
		"cmd=maxes keylen_max=-1 vallen_max=1024\n",
		"cmd=maxes keylen_max=64 vallen_max=1024\ncmd=my_kvsname\n",
		"cmd=maxes keylen_max=64 vallen_max=1024\ncmd=my_kvsname kvsname=\n",
	};
	static char text[4][300];

	(void)state;
	for (int i = 0; i < 4; i++) {
		snprintf(text[i], sizeof(text[i]), "%s%s", init, after[i]);
		refusal[10 + i].answers = text[i];
	}
	snprintf(name, sizeof(name),
		 "%scmd=maxes keylen_max=64 vallen_max=1024\ncmd=my_kvsname kvsname=%0256d\n", init,
		 0);
	memset(line, 'x', sizeof(line) - 1);
	for (size_t i = 0; i < sizeof(refusal) / sizeof(refusal[0]); i++)
		child_passes(open_refused, &refusal[i]);
}

static void in_open__launcher_is_silent__etimedout(void *arg)
{
	struct boot_info info;
	struct pmi1 *pmi1;

	(void)arg;
	launcher_start("");
	CHECK(pmi1_open(SHORT_NS, &pmi1, &info) == -ETIMEDOUT);
	CHECK(strstr(error_text(), "FARBUS_TIMEOUT"));
}
CHILD_TEST(open__launcher_is_silent__etimedout)

static void in_open__twice__eexist_and_the_channel_stays(void *arg)
{
	struct boot_info info;
	struct pmi1 *pmi1, *second;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	CHECK(pmi1_open(WAIT_NS, &second, &info) == -EEXIST);
	launcher_say(launcher, "cmd=barrier_out\n");
	CHECK(pmi1_fence(pmi1, WAIT_NS) == 0);
}
CHILD_TEST(open__twice__eexist_and_the_channel_stays)

/* Nothing is taken before the environment is right: each of these can be put right. */
static void in_open__environment_is_wrong__says_which_variable(void *arg)
{
	static const struct {
		const char *variable, *value;
		int err;
	} row[] = {
		{ "PMI_FD", NULL, -EINVAL },	    { "PMI_FD", "", -EPROTO },
		{ "PMI_FD", "x", -EPROTO },	    { "PMI_FD", "-1", -EPROTO },
		{ "PMI_FD", "999", -EINVAL },	    { "PMI_FD", "99999999999", -EPROTO },
		{ "PMI_FD", "2", -EINVAL }, /* no socket */
		{ "PMI_RANK", NULL, -EPROTO },	    { "PMI_RANK", "4", -EPROTO },
		{ "PMI_RANK", "-1", -EPROTO },	    { "PMI_RANK", "1x", -EPROTO },
		{ "PMI_SIZE", NULL, -EPROTO },	    { "PMI_SIZE", "0", -EPROTO },
		{ "PMI_SIZE", "1000001", -EPROTO },
	};
	struct boot_info info;
	struct pmi1 *pmi1;
	int launcher = launcher_start(HELLO);
	char fd[16];

	(void)arg;
	snprintf(fd, sizeof(fd), "%s", getenv("PMI_FD"));
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		environment_set(atoi(fd));
		if (row[i].value)
			setenv(row[i].variable, row[i].value, 1);
		else
			unsetenv(row[i].variable);
		CHECK(pmi1_open(WAIT_NS, &pmi1, &info) == row[i].err);
		CHECK(strstr(error_text(), row[i].variable));
		launcher_heard(launcher, "");
	}
	environment_set(atoi(fd));
	client_open(&info);
}
CHILD_TEST(open__environment_is_wrong__says_which_variable)

static void in_open__no_memory__enomem_and_works_later(void *arg)
{
	struct boot_info info;
	struct pmi1 *pmi1;

	(void)arg;
	launcher_start(HELLO);
	alloc_fault_arm(1);
	CHECK(pmi1_open(WAIT_NS, &pmi1, &info) == -ENOMEM);
	client_open(&info);
}
CHILD_TEST(open__no_memory__enomem_and_works_later)

static void *answer_by_bytes(void *arg)
{
	static const char answers[] = HELLO "cmd=barrier_out\n";

	for (size_t i = 0; i < sizeof(answers) - 1; i++)
		CHECK(write(*(int *)arg, &answers[i], 1) == 1);
	return NULL;
}

static void in_open__answers_byte_by_byte__the_same(void *arg)
{
	int launcher = launcher_start("");
	struct boot_info info;
	pthread_t thread;
	struct pmi1 *pmi1;

	(void)arg;
	CHECK(pthread_create(&thread, NULL, answer_by_bytes, &launcher) == 0);
	pmi1 = client_open(&info);
	CHECK(pmi1_fence(pmi1, WAIT_NS) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}
CHILD_TEST(open__answers_byte_by_byte__the_same)

/* --- put, fence, get, abort --- */

static void in_put_fence_get__good_answers__the_protocol(void *arg)
{
	struct pmi1 *pmi1;
	char blob[8];
	size_t len;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	launcher_say(launcher, "cmd=put_result rc=0 msg=success\ncmd=barrier_out\n"
			       "cmd=get_result rc=0 msg=success value=00ff10\n");
	CHECK(pmi1_put(pmi1, "k2", "\x01\xfe", 2) == 0);
	CHECK(pmi1_fence(pmi1, WAIT_NS) == 0);
	CHECK(pmi1_get(pmi1, "k3", blob, sizeof(blob), &len, WAIT_NS) == 0);
	CHECK(len == 3 && memcmp(blob, "\0\xff\x10", 3) == 0);
	launcher_heard(launcher, "cmd=put kvsname=kvs_0 key=k2 value=01fe\ncmd=barrier_in\n"
				 "cmd=get kvsname=kvs_0 key=k3\n");
}
CHILD_TEST(put_fence_get__good_answers__the_protocol)

static void in_put__longest_blob_and_key__fit_and_one_more_is_refused(void *arg)
{
	static char blob[BOOT_VALUE_MAX + 1], request[WIRE_LINE_MAX];
	char key[BOOT_KEY_MAX + 1], hex[2 * BOOT_VALUE_MAX + 1];
	struct pmi1 *pmi1;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	memset(key, 'k', sizeof(key));
	key[BOOT_KEY_MAX] = '\0';
	memset(blob, 0xa5, sizeof(blob));
	wire_hex(blob, BOOT_VALUE_MAX, hex);
	CHECK(pmi1_put(pmi1, "k", blob, BOOT_VALUE_MAX + 1) == -EMSGSIZE);
	CHECK(pmi1_put(pmi1, key, blob, 1) == -EINVAL);
	launcher_heard(launcher, "");
	key[BOOT_KEY_MAX - 1] = '\0';
	launcher_say(launcher, "cmd=put_result rc=0\n");
	CHECK(pmi1_put(pmi1, key, blob, BOOT_VALUE_MAX) == 0);
	snprintf(request, sizeof(request), "cmd=put kvsname=kvs_0 key=%s value=%s\n", key, hex);
	launcher_heard(launcher, request);
}
CHILD_TEST(put__longest_blob_and_key__fit_and_one_more_is_refused)

static void in_put__launcher_takes_less__its_limits_count(void *arg)
{
	int launcher = launcher_start("cmd=response_to_init pmi_version=1 rc=0\n"
				      "cmd=maxes keylen_max=8 vallen_max=16\n"
				      "cmd=my_kvsname kvsname=k\n");
	struct boot_info info;
	struct pmi1 *pmi1 = client_open(&info);

	(void)arg;
	CHECK(pmi1_put(pmi1, "12345678", "", 0) == -EINVAL);
	CHECK(pmi1_put(pmi1, "1234567", "12345678", 8) == -EMSGSIZE);
	CHECK(strstr(error_text(), "up to 7"));
	launcher_say(launcher, "cmd=put_result rc=0\n");
	CHECK(pmi1_put(pmi1, "1234567", "1234567", 7) == 0);
}
CHILD_TEST(put__launcher_takes_less__its_limits_count)

static void in_key__with_a_blank_or_nothing__einval_and_nothing_sent(void *arg)
{
	static const char *const key[] = { "", "a b", "a=b", "a\nb", "\t", "a\r" };
	struct pmi1 *pmi1;
	char blob[8];
	size_t len;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	for (size_t i = 0; i < sizeof(key) / sizeof(key[0]); i++) {
		CHECK(pmi1_put(pmi1, key[i], "x", 1) == -EINVAL);
		CHECK(pmi1_get(pmi1, key[i], blob, 8, &len, WAIT_NS) == -EINVAL);
	}
	launcher_heard(launcher, "");
}
CHILD_TEST(key__with_a_blank_or_nothing__einval_and_nothing_sent)

/* What the launcher refuses, and what is not ours, leaves the channel as good as it was. */
static void in_get__not_there_too_long_no_blob__says_so_and_goes_on(void *arg)
{
	char blob[4] = { 1, 2, 3, 4 };
	struct pmi1 *pmi1;
	size_t len = 77;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	launcher_say(launcher, "cmd=get_result rc=-1 msg=key_not_found value=unknown\n"
			       "cmd=get_result rc=0 value=0102030405\n"
			       "cmd=get_result rc=0 value=0xff\n"
			       "cmd=get_result rc=0\n"
			       "cmd=put_result rc=-1 msg=kvs_full\n"
			       "cmd=barrier_out rc=-1 msg=a_rank_has_ended\n"
			       "cmd=get_result rc=0 value=09\n");
	CHECK(pmi1_get(pmi1, "k", blob, sizeof(blob), &len, WAIT_NS) == -ENOENT);
	CHECK(pmi1_get(pmi1, "k", blob, sizeof(blob), &len, WAIT_NS) == -EMSGSIZE);
	CHECK(pmi1_get(pmi1, "k", blob, sizeof(blob), &len, WAIT_NS) == -EPROTO);
	CHECK(pmi1_get(pmi1, "k", blob, sizeof(blob), &len, WAIT_NS) == -EPROTO);
	CHECK(pmi1_put(pmi1, "k", "x", 1) == -EPROTO);
	CHECK(strstr(error_text(), "kvs_full"));
	CHECK(pmi1_fence(pmi1, WAIT_NS) == -EPROTO);
	CHECK(strstr(error_text(), "a_rank_has_ended"));
	CHECK(len == 77 && memcmp(blob, "\1\2\3\4", 4) == 0);
	CHECK(pmi1_get(pmi1, "k", blob, sizeof(blob), &len, WAIT_NS) == 0);
	CHECK(len == 1 && blob[0] == 9);
}
CHILD_TEST(get__not_there_too_long_no_blob__says_so_and_goes_on)

/* An answer that comes late must not be taken for the next one's. */
static void in_fence__timed_out__channel_is_not_used_again(void *arg)
{
	struct pmi1 *pmi1;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	CHECK(pmi1_fence(pmi1, SHORT_NS) == -ETIMEDOUT);
	launcher_heard(launcher, "cmd=barrier_in\n");
	launcher_say(launcher, "cmd=barrier_out\n");
	CHECK(pmi1_fence(pmi1, WAIT_NS) == -ETIMEDOUT);
	CHECK(strstr(error_text(), "failed before"));
	pmi1_close(pmi1);
	launcher_heard(launcher, "");
}
CHILD_TEST(fence__timed_out__channel_is_not_used_again)

static void in_fence__launcher_gone__eproto_not_a_signal(void *arg)
{
	struct pmi1 *pmi1;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	close(launcher);
	CHECK(pmi1_fence(pmi1, WAIT_NS) == -EPROTO);
	pmi1_abort(pmi1, 3);
	pmi1_close(pmi1);
}
CHILD_TEST(fence__launcher_gone__eproto_not_a_signal)

static void in_abort__launcher_hears_it__code_and_back_at_its_end(void *arg)
{
	struct pmi1 *pmi1;
	int launcher;

	(void)arg;
	client_ready(&launcher, &pmi1);
	CHECK(shutdown(launcher, SHUT_WR) == 0);
	pmi1_abort(pmi1, 42);
	launcher_heard(launcher, "cmd=abort exitcode=42\n");
	pmi1_close(pmi1);
	pmi1_close(NULL);
}
CHILD_TEST(abort__launcher_hears_it__code_and_back_at_its_end)

/* --- which source --- */

static int boot_with(const char *forced, struct boot **ret_boot, struct boot_info *ret_info)
{
	struct config config;

	memset(&config, 0, sizeof(config));
	snprintf(config.boot, sizeof(config.boot), "%s", forced);
	return boot_open(&config, WAIT_NS, ret_boot, ret_info);
}

static void in_boot_open__no_launcher__single_or_refused(void *arg)
{
	static const char *const refused[] = { "pmi1", "pmix", "tcp", "", "AUTO" };
	struct boot_info info;
	struct boot *boot;
	char value[4];
	size_t len;

	(void)arg;
	unsetenv("PMI_FD");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		CHECK(boot_with(refused[i], &boot, &info) == -EINVAL);
		CHECK(strstr(error_text(), "FARBUS_BOOT="));
	}
	for (int i = 0; i < 2; i++) {
		CHECK(boot_with(i ? "single" : "auto", &boot, &info) == 0);
		CHECK(strcmp(info.source, "single") == 0);
		CHECK(info.rank == 0 && info.size == 1);
		CHECK(info.local_rank == 0 && info.local_size == 1);
		CHECK(boot_put(boot, "k", "v", 2) == 0);
		CHECK(boot_fence(boot, 0) == 0);
		CHECK(boot_get(boot, "k", value, sizeof(value), &len, 0) == 0);
		CHECK(len == 2 && strcmp(value, "v") == 0);
		boot_abort(boot, 1, "why"); /* nobody to ask */
		boot_close(boot);
	}
	boot_abort(NULL, 1, "why");
	boot_close(NULL);
}
CHILD_TEST(boot_open__no_launcher__single_or_refused)

static void in_boot_open__launcher__pmi1_unless_single_is_forced(void *arg)
{
	int launcher = launcher_start(HELLO "cmd=finalize_ack\n");
	struct boot_info info;
	struct boot *boot;

	(void)arg;
	CHECK(boot_with("single", &boot, &info) == 0);
	CHECK(strcmp(info.source, "single") == 0);
	boot_close(boot);
	launcher_heard(launcher, "");
	CHECK(boot_with("auto", &boot, &info) == 0);
	CHECK(strcmp(info.source, "pmi1") == 0);
	boot_close(boot);
	launcher_heard(launcher, HELLO_REQUESTS "cmd=finalize\n");
}
CHILD_TEST(boot_open__launcher__pmi1_unless_single_is_forced)

static void in_boot_open__every_allocation_fails_once__enomem_and_no_leak(void *arg)
{
	struct boot_info info;
	struct boot *boot;
	unsigned long n = 0;
	int err;

	(void)arg;
	unsetenv("PMI_FD");
	do {
		alloc_fault_arm(++n);
		err = boot_with("auto", &boot, &info);
		CHECK(err == 0 || err == -ENOMEM);
	} while (err < 0);
	CHECK(n == 3);
	boot_close(boot);
}
CHILD_TEST(boot_open__every_allocation_fails_once__enomem_and_no_leak)

/* --- single --- */

static void single__as_many_blobs_as_it_takes__one_more_is_enospc(void **state)
{
	struct boot_info info;
	struct single *single;
	char key[16], value[8];
	size_t len;

	(void)state;
	assert_int_equal(single_open(&single, &info), 0);
	for (int i = 0; i < SINGLE_BLOB_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(single_put(single, key, key, strlen(key)), 0);
	}
	assert_int_equal(single_put(single, "one more", "x", 1), -EINVAL);
	assert_int_equal(single_put(single, "one-more", "x", 1), -ENOSPC);
	assert_int_equal(single_put(single, "k7", "new", 4), 0); /* replaces */
	assert_int_equal(single_get(single, "k7", value, sizeof(value), &len), 0);
	assert_int_equal(len, 4);
	assert_string_equal(value, "new");
	assert_int_equal(single_get(single, "k255", value, sizeof(value), &len), 0);
	assert_memory_equal(value, "k255", 4);
	single_close(single);
	single_close(NULL);
}

static void single__limits_of_key_and_value__as_with_a_launcher(void **state)
{
	static char value[BOOT_VALUE_MAX + 1], back[BOOT_VALUE_MAX];
	char key[BOOT_KEY_MAX + 1];
	struct boot_info info;
	struct single *single;
	size_t len = 77;

	(void)state;
	assert_int_equal(single_open(&single, &info), 0);
	memset(key, 'k', sizeof(key));
	key[BOOT_KEY_MAX] = '\0';
	assert_int_equal(single_put(single, key, "x", 1), -EINVAL);
	assert_int_equal(single_put(single, "", "x", 1), -EINVAL);
	assert_int_equal(single_put(single, "a=b", "x", 1), -EINVAL);
	key[BOOT_KEY_MAX - 1] = '\0';
	memset(value, 0x5a, sizeof(value));
	assert_int_equal(single_put(single, key, value, BOOT_VALUE_MAX + 1), -EMSGSIZE);
	assert_int_equal(single_put(single, key, value, BOOT_VALUE_MAX), 0);
	assert_int_equal(single_get(single, key, back, BOOT_VALUE_MAX - 1, &len), -EMSGSIZE);
	assert_int_equal(single_get(single, "k", back, sizeof(back), &len), -ENOENT);
	assert_int_equal(len, 77);
	assert_int_equal(back[0], 0);
	assert_int_equal(single_get(single, key, back, BOOT_VALUE_MAX, &len), 0);
	assert_int_equal(len, BOOT_VALUE_MAX);
	assert_memory_equal(back, value, BOOT_VALUE_MAX);
	alloc_fault_arm(1);
	assert_int_equal(single_put(single, "another", "x", 1), -ENOMEM);
	assert_int_equal(single_put(single, "another", "x", 1), 0);
	single_close(single);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open__answers_of_hydra__rank_size_and_place),
		cmocka_unit_test(open__no_local_rank_but_a_mapping__from_that),
		cmocka_unit_test(open__no_local_rank_and_no_mapping__as_if_all_were_here),
		cmocka_unit_test(open__mapping_is_nonsense__as_if_all_were_here),
		cmocka_unit_test(open__wrong_answers__eproto_says_which),
		cmocka_unit_test(open__launcher_is_silent__etimedout),
		cmocka_unit_test(open__twice__eexist_and_the_channel_stays),
		cmocka_unit_test(open__environment_is_wrong__says_which_variable),
		cmocka_unit_test(open__no_memory__enomem_and_works_later),
		cmocka_unit_test(open__answers_byte_by_byte__the_same),
		cmocka_unit_test(put_fence_get__good_answers__the_protocol),
		cmocka_unit_test(put__longest_blob_and_key__fit_and_one_more_is_refused),
		cmocka_unit_test(put__launcher_takes_less__its_limits_count),
		cmocka_unit_test(key__with_a_blank_or_nothing__einval_and_nothing_sent),
		cmocka_unit_test(get__not_there_too_long_no_blob__says_so_and_goes_on),
		cmocka_unit_test(fence__timed_out__channel_is_not_used_again),
		cmocka_unit_test(fence__launcher_gone__eproto_not_a_signal),
		cmocka_unit_test(abort__launcher_hears_it__code_and_back_at_its_end),
		cmocka_unit_test(boot_open__no_launcher__single_or_refused),
		cmocka_unit_test(boot_open__launcher__pmi1_unless_single_is_forced),
		cmocka_unit_test(boot_open__every_allocation_fails_once__enomem_and_no_leak),
		cmocka_unit_test(single__as_many_blobs_as_it_takes__one_more_is_enospc),
		cmocka_unit_test(single__limits_of_key_and_value__as_with_a_launcher),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
