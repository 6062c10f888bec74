/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pmi1.c -- client of the PMI-1 wire protocol
 *
 * One request, one answer, over the socket the launcher left in PMI_FD. Nothing the launcher says
 * is trusted: lines are bounded, numbers are checked, every wait ends at a deadline.
 *
 * Invariants:
 *   1. at most one request is under way
 *   2. after a failed exchange (an answer may still come) broken is set and nothing more is sent
 *   3. in[0..used) holds what arrived after the last whole line
 */
#include "runtime/boot/source.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/boot/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLOSE_WAIT_NS (2 * NS_PER_S)
#define ABORT_WAIT_NS (2 * NS_PER_S)
#define SIZE_MAX_RANKS 1000000

struct pmi1 {
	int fd; /* owned from open on, closed once */
	int broken;
	uint64_t timeout_ns;
	int64_t key_max, value_max;
	char kvsname[WIRE_NAME_MAX];
	size_t used;
	char in[WIRE_LINE_MAX];
	char line[WIRE_LINE_MAX]; /* the answer under inspection */
};

/* The channel serves one client once per process: a second init would corrupt the first's job. */
static atomic_flag channel_used = ATOMIC_FLAG_INIT;

static int broken_set(struct pmi1 *pmi1, int err)
{
	pmi1->broken = err;
	return err;
}

static int wait_ready(int fd, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd pollfd = { .fd = fd, .events = events };
		uint64_t now = clock_now_ns();
		uint64_t left = now < deadline ? deadline - now : 0;
		int ms = (int)(left / NS_PER_MS + 1 > INT_MAX ? INT_MAX : left / NS_PER_MS + 1);
		int n = poll(&pollfd, 1, left ? ms : 0);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_set(-EPROTO, "cannot wait for the launcher (PMI_FD=%d): %s",
					 fd, strerror(errno));
		if (n == 0 && left == 0)
			return error_set(-ETIMEDOUT,
					 "the launcher did not answer on PMI_FD=%d in time: see "
					 "whether all ranks came as far as this one, or raise "
					 "FARBUS_TIMEOUT",
					 fd);
	}
}

static int line_send(struct pmi1 *pmi1, const char *line, uint64_t deadline)
{
	size_t len = strlen(line);

	while (len > 0) {
		ssize_t n = send(pmi1->fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err;

		if (n > 0) {
			line += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return error_set(-EPROTO, "the launcher does not listen on PMI_FD=%d: %s",
					 pmi1->fd, strerror(errno));
		err = wait_ready(pmi1->fd, POLLOUT, deadline);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Moves the first whole line of in[] to line[]. False: there is none yet. */
static bool line_take(struct pmi1 *pmi1)
{
	char *end = memchr(pmi1->in, '\n', pmi1->used);
	size_t len;

	if (!end)
		return false;
	len = (size_t)(end - pmi1->in);
	memcpy(pmi1->line, pmi1->in, len);
	pmi1->line[len] = '\0';
	pmi1->used -= len + 1;
	memmove(pmi1->in, end + 1, pmi1->used);
	return true;
}

static int line_receive(struct pmi1 *pmi1, uint64_t deadline)
{
	while (!line_take(pmi1)) {
		ssize_t n;
		int err;

		if (pmi1->used == sizeof(pmi1->in))
			return error_set(-EPROTO,
					 "the launcher sent more than %d bytes without a newline",
					 WIRE_LINE_MAX);
		err = wait_ready(pmi1->fd, POLLIN, deadline);
		if (err < 0)
			return err;
		n = recv(pmi1->fd, pmi1->in + pmi1->used, sizeof(pmi1->in) - pmi1->used,
			 MSG_DONTWAIT);
		if (n > 0)
			pmi1->used += (size_t)n;
		else if (n == 0)
			return error_set(-EPROTO,
					 "the launcher closed PMI_FD=%d: the job is "
					 "ending, or the channel was used before",
					 pmi1->fd);
		else if (errno != EAGAIN && errno != EINTR)
			return error_set(-EPROTO, "cannot read PMI_FD=%d: %s", pmi1->fd,
					 strerror(errno));
	}
	return 0;
}

/* Sends a request; checks that the answer is cmd=expected. It is then in pmi1->line. */
static int exchange(struct pmi1 *pmi1, const char *request, const char *expected, uint64_t deadline)
{
	char command[32];
	int err;

	if (pmi1->broken)
		return error_set(pmi1->broken, "the launcher's channel failed before and cannot "
					       "be used any more: end this process");
	err = line_send(pmi1, request, deadline);
	if (err == 0)
		err = line_receive(pmi1, deadline);
	if (err < 0)
		return broken_set(pmi1, err);
	if (wire_text(pmi1->line, "cmd", command, sizeof(command)) < 0 ||
	    strcmp(command, expected) != 0)
		return broken_set(pmi1, error_set(-EPROTO,
						  "the launcher answered \"%.80s\" where PMI-1 has "
						  "cmd=%s",
						  pmi1->line, expected));
	return 0;
}

/* rc= of the answer: absent means success, as Hydra does in some answers. */
static int answer_check(struct pmi1 *pmi1, const char *what)
{
	char message[80] = "no reason given";
	int64_t rc = 0;
	int err = wire_number(pmi1->line, "rc", INT_MIN, INT_MAX, &rc);

	if (err == -ENOENT || (err == 0 && rc == 0))
		return 0;
	(void)wire_text(pmi1->line, "msg", message, sizeof(message));
	return error_set(-EPROTO, "the launcher refused %s: %s", what, message);
}

static int init_exchange(struct pmi1 *pmi1, uint64_t deadline)
{
	int64_t version;
	int err = exchange(pmi1, "cmd=init pmi_version=1 pmi_subversion=1\n", "response_to_init",
			   deadline);
	if (err < 0)
		return err;
	err = answer_check(pmi1, "PMI version 1");
	if (err < 0)
		return err;
	if (wire_number(pmi1->line, "pmi_version", 1, 1, &version) < 0)
		return error_set(-EPROTO,
				 "the launcher speaks another PMI than version 1: "
				 "\"%.80s\"; with srun use --mpi=pmi2",
				 pmi1->line);
	return 0;
}

static int maxes_exchange(struct pmi1 *pmi1, uint64_t deadline)
{
	int err = exchange(pmi1, "cmd=get_maxes\n", "maxes", deadline);

	if (err < 0)
		return err;
	if (wire_number(pmi1->line, "keylen_max", 8, INT_MAX, &pmi1->key_max) < 0 ||
	    wire_number(pmi1->line, "vallen_max", 16, INT_MAX, &pmi1->value_max) < 0)
		return error_set(-EPROTO, "the launcher gave no usable limits: \"%.80s\"",
				 pmi1->line);
	return 0;
}

static int name_exchange(struct pmi1 *pmi1, uint64_t deadline)
{
	int err = exchange(pmi1, "cmd=get_my_kvsname\n", "my_kvsname", deadline);

	if (err < 0)
		return err;
	if (wire_text(pmi1->line, "kvsname", pmi1->kvsname, sizeof(pmi1->kvsname)) < 0 ||
	    !pmi1->kvsname[0])
		return error_set(-EPROTO, "the launcher gave no usable kvs name: \"%.80s\"",
				 pmi1->line);
	return 0;
}

/* A number the launcher left in the environment. Errors: -ENOENT, -EPROTO. */
static int environment_number(const char *variable, int64_t min, int64_t max, int64_t *ret_number)
{
	const char *text = getenv(variable);

	if (!text)
		return error_set(-ENOENT, "%s is not set", variable);
	if (wire_number_parse(text, min, max, ret_number) < 0)
		return error_set(-EPROTO,
				 "%s=%.40s from the launcher is no number from %lld to %lld",
				 variable, text, (long long)min, (long long)max);
	return 0;
}

static int rank_read(struct boot_info *ret_info)
{
	int64_t rank, size;
	int err = environment_number("PMI_SIZE", 1, SIZE_MAX_RANKS, &size);

	if (err == 0)
		err = environment_number("PMI_RANK", 0, size - 1, &rank);
	if (err == -ENOENT)
		return error_set(-EPROTO, "PMI_FD is set but PMI_RANK or PMI_SIZE is not: start "
					  "with farbus-run, or unset PMI_FD to run alone");
	if (err < 0)
		return err;
	ret_info->rank = (uint32_t)rank;
	ret_info->size = (uint32_t)size;
	return 0;
}

/* One value of the kvs as text. Errors: -ENOENT, -EMSGSIZE. */
static int value_exchange(struct pmi1 *pmi1, const char *key, char *ret_value, size_t size,
			  uint64_t deadline)
{
	char request[WIRE_LINE_MAX];
	int64_t rc = 0;
	int err;

	snprintf(request, sizeof(request), "cmd=get kvsname=%s key=%s\n", pmi1->kvsname, key);
	err = exchange(pmi1, request, "get_result", deadline);
	if (err < 0)
		return err;
	err = wire_number(pmi1->line, "rc", INT_MIN, INT_MAX, &rc);
	if (err == 0 && rc != 0)
		return error_set(-ENOENT, "no rank gave %s before the fence", key);
	err = wire_text(pmi1->line, "value", ret_value, size);
	if (err == -EMSGSIZE)
		return error_set(err, "the value of %s is longer than %zu characters", key,
				 size - 1);
	if (err < 0)
		return error_set(-EPROTO, "the launcher gave no value for %s: \"%.80s\"", key,
				 pmi1->line);
	return 0;
}

/*
 * Local rank and size: what the launcher says, else what its process mapping says, else as if all
 * ranks were here, which only makes waits sleep earlier.
 */
static int local_read(struct pmi1 *pmi1, struct boot_info *info, uint64_t deadline)
{
	char mapping[WIRE_VALUE_MAX];
	int64_t rank, size;
	int err;

	if (environment_number("MPI_LOCALNRANKS", 1, info->size, &size) == 0 &&
	    environment_number("MPI_LOCALRANKID", 0, size - 1, &rank) == 0) {
		info->local_rank = (uint32_t)rank;
		info->local_size = (uint32_t)size;
		return 0;
	}
	info->local_rank = info->rank;
	info->local_size = info->size;
	err = value_exchange(pmi1, "PMI_process_mapping", mapping, sizeof(mapping), deadline);
	if (pmi1->broken)
		return err;
	if (err == 0)
		(void)wire_mapping(mapping, info->rank, info->size, &info->local_rank,
				   &info->local_size);
	return 0;
}

/* Checks that PMI_FD is what a launcher leaves, and takes it for this process. */
static int channel_take(int *ret_fd)
{
	struct stat stat;
	int64_t fd;
	int err = environment_number("PMI_FD", 0, INT_MAX, &fd);

	if (err < 0)
		return err == -ENOENT ? error_set(-EINVAL, "PMI_FD is not set: start with "
							   "farbus-run or mpiexec.hydra") :
					err;
	if (fstat((int)fd, &stat) < 0 || !S_ISSOCK(stat.st_mode))
		return error_set(-EINVAL,
				 "PMI_FD=%d is not an open socket: only the process that the "
				 "launcher started has it; unset PMI_FD to run alone",
				 (int)fd);
	if (atomic_flag_test_and_set(&channel_used))
		return error_set(-EEXIST, "this process used the launcher's channel already: open "
					  "farbus once per rank, or name a job in farbus_conf");
	/* Programs that this rank starts must not talk into the middle of our lines. */
	(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	*ret_fd = (int)fd;
	return 0;
}

int pmi1_open(uint64_t timeout_ns, struct pmi1 **ret_pmi1, struct boot_info *ret_info)
{
	struct boot_info info = { .source = "pmi1" };
	uint64_t deadline = clock_now_ns() + timeout_ns;
	struct pmi1 *pmi1;
	int err = rank_read(&info);

	if (err < 0)
		return err;
	pmi1 = alloc_zero(sizeof(*pmi1));
	if (!pmi1)
		return error_set(-ENOMEM, "no memory for the launcher's channel");
	pmi1->timeout_ns = timeout_ns;
	err = channel_take(&pmi1->fd);
	if (err < 0)
		goto free_pmi1;
	err = init_exchange(pmi1, deadline);
	if (err == 0)
		err = maxes_exchange(pmi1, deadline);
	if (err == 0)
		err = name_exchange(pmi1, deadline);
	if (err == 0)
		err = local_read(pmi1, &info, deadline);
	if (err < 0)
		goto close_fd;
	*ret_pmi1 = pmi1;
	*ret_info = info;
	return 0;

close_fd:
	close(pmi1->fd);
free_pmi1:
	free(pmi1);
	return err;
}

static int key_check(const struct pmi1 *pmi1, const char *key)
{
	size_t len = strlen(key);

	if (len == 0 || len >= BOOT_KEY_MAX || (int64_t)len >= pmi1->key_max)
		return error_set(
			-EINVAL, "a key of %zu characters: give 1 to %d", len,
			(int)(pmi1->key_max < BOOT_KEY_MAX ? pmi1->key_max : BOOT_KEY_MAX) - 1);
	if (strpbrk(key, " =\t\r\n"))
		return error_set(-EINVAL, "the key %.64s has a blank or '=' in it", key);
	return 0;
}

int pmi1_put(struct pmi1 *pmi1, const char *key, const void *value, size_t len)
{
	char request[WIRE_LINE_MAX];
	int n, err = key_check(pmi1, key);

	if (err < 0)
		return err;
	if (len > BOOT_VALUE_MAX || (int64_t)len * 2 >= pmi1->value_max)
		return error_set(-EMSGSIZE,
				 "a blob of %zu bytes: this launcher takes up to %d at a time", len,
				 (int)(pmi1->value_max / 2 <= BOOT_VALUE_MAX ?
					       (pmi1->value_max - 1) / 2 :
					       BOOT_VALUE_MAX));
	n = snprintf(request, sizeof(request), "cmd=put kvsname=%s key=%s value=", pmi1->kvsname,
		     key);
	wire_hex(value, len, request + n);
	strcat(request, "\n");
	err = exchange(pmi1, request, "put_result", clock_now_ns() + pmi1->timeout_ns);
	if (err < 0)
		return err;
	return answer_check(pmi1, "a put");
}

int pmi1_fence(struct pmi1 *pmi1, uint64_t timeout_ns)
{
	int err = exchange(pmi1, "cmd=barrier_in\n", "barrier_out", clock_now_ns() + timeout_ns);

	if (err < 0)
		return err;
	return answer_check(pmi1, "a fence");
}

int pmi1_get(struct pmi1 *pmi1, const char *key, void *ret_value, size_t size, size_t *ret_len,
	     uint64_t timeout_ns)
{
	char text[WIRE_LINE_MAX];
	int err = key_check(pmi1, key);

	if (err < 0)
		return err;
	err = value_exchange(pmi1, key, text, sizeof(text), clock_now_ns() + timeout_ns);
	if (err < 0)
		return err;
	err = wire_unhex(text, ret_value, size, ret_len);
	if (err == -EMSGSIZE)
		return error_set(err, "the blob of %s is longer than %zu bytes", key, size);
	if (err < 0)
		return error_set(-EPROTO, "the value of %s is no blob of farbus: \"%.80s\"", key,
				 text);
	return 0;
}

void pmi1_close(struct pmi1 *pmi1)
{
	uint64_t wait_ns;

	if (!pmi1)
		return;
	wait_ns = pmi1->timeout_ns < CLOSE_WAIT_NS ? pmi1->timeout_ns : CLOSE_WAIT_NS;
	if (!pmi1->broken &&
	    exchange(pmi1, "cmd=finalize\n", "finalize_ack", clock_now_ns() + wait_ns) < 0)
		log_info("the launcher did not acknowledge the end: %s", error_text());
	close(pmi1->fd);
	free(pmi1);
}

/* A launcher that heard us kills this process; give it time to, then let the caller exit. */
void pmi1_abort(struct pmi1 *pmi1, int exit_code)
{
	uint64_t deadline = clock_now_ns() + ABORT_WAIT_NS;
	char request[64];

	snprintf(request, sizeof(request), "cmd=abort exitcode=%d\n", exit_code);
	if (line_send(pmi1, request, deadline) < 0)
		return;
	pmi1->used = 0;
	while (line_receive(pmi1, deadline) == 0)
		;
	pmi1->broken = -EPROTO;
}
