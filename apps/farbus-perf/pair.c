/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.c -- the two instances: one measures, the other has the memory and sleeps
 *
 * The target's job name, which is also its secret, comes through a pipe: command lines and
 * environments can be read by others. While the initiator measures, the target is in poll(2) on
 * the descriptor of its events; that the initiator is gone is the event it waits for.
 */
#include "apps/farbus-perf/pair.h"

#include "apps/farbus-perf/tcp_floor.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <farbus/inline.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define WALK_LEN ((size_t)32 << 20) /* what put and get of any size walk through */
#define JOB_LEN 40		    /* "farbus-perf." and 14 bytes in hex */
#define END_WAIT_MS 10000
#define TARGET_ARGV_LEN 64
#define MEMORY_COUNT 2

static const char *const memory_name[] = { "perf.memory", "perf.stream" };

static int farbus_failed(int err, const char *what)
{
	const char *why = farbus_last_error();

	return error_set(err, "%s: %s", what, *why ? why : farbus_strerror(err));
}

bool pair_launched(void)
{
	return getenv("PMI_FD") != NULL;
}

/* Twice the longest piece at least, so that no piece starts where the one before did. */
static size_t walk_len(const struct options *options)
{
	size_t len = WALK_LEN;

	for (size_t i = 0; i < options->size_count; i++)
		if (2 * options->size[i] > len)
			len = 2 * options->size[i];
	return len;
}

static void memory_lens(const struct options *options, bool stream, size_t ret_len[MEMORY_COUNT])
{
	ret_len[0] = walk_len(options);
	ret_len[1] = stream ? options->stream_len : 0;
}

/* ---- the target -------------------------------------------------------------------------- */

/* In its last word the memory says on which CPU the target is, and one more. */
static int memory_offer(struct farbus *farbus, const char *name, size_t len, int cpu)
{
	struct farbus_region *region;
	struct farbus_token token;
	int err = farbus_region_alloc(farbus, len, 0, &region);

	if (err == 0)
		err = farbus_region_grant(region, 0, len, FARBUS_R | FARBUS_W | FARBUS_A, NULL,
					  &token);
	if (err == 0)
		err = farbus_put64(region, len - 8, (uint64_t)(cpu + 1));
	if (err == 0)
		err = farbus_publish(farbus, name, &token);
	return err < 0 ? farbus_failed(err, name) : 0;
}

/* Asleep until the initiator closed or died. */
static int initiator_wait(struct farbus *farbus)
{
	struct pollfd poll_fd = { .fd = farbus_fd(farbus), .events = POLLIN };

	for (;;) {
		struct farbus_event event;
		size_t count;

		if (poll(&poll_fd, 1, (int)(PERF_SECONDS_MAX * 1000u)) <= 0) {
			if (errno == EINTR)
				continue;
			return error_set(-ETIMEDOUT, "the initiator did not come to an end");
		}
		if (farbus_poll(farbus, &event, 1, 0, &count) == 0 && count == 1 &&
		    event.kind == FARBUS_EVENT_PEER_LOST && event.rank == 0)
			return 0;
	}
}

static int target_run(struct farbus *farbus, const struct options *options, bool stream)
{
	size_t len[MEMORY_COUNT];
	int err = 0, cpu;

	pair_pin(options->cpu[1], 1, &cpu);
	memory_lens(options, stream, len);
	for (int i = 0; i < MEMORY_COUNT && err == 0; i++)
		if (len[i])
			err = memory_offer(farbus, memory_name[i], len[i], cpu);
	return err < 0 ? err : initiator_wait(farbus);
}

/* ---- the initiator ----------------------------------------------------------------------- */

static uint8_t *plain_memory(size_t len)
{
	uint8_t *memory =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int memory_take(struct farbus *farbus, const char *name, size_t len,
		       struct pair_memory *memory, uint64_t *ret_cpu)
{
	struct farbus_token token;
	void *window;
	int err = farbus_lookup(farbus, name, FARBUS_TIMEOUT_DEFAULT, &token);

	if (err == 0)
		err = farbus_region_import(farbus, &token, FARBUS_TIMEOUT_DEFAULT, &memory->region);
	if (err < 0)
		return farbus_failed(err, name);
	memory->len = len;
	err = farbus_get64(memory->region, len - 8, ret_cpu);
	if (err < 0)
		return farbus_failed(err, name);
	err = farbus_region_advise(memory->region, 0, len, FARBUS_ADVISE_POPULATE);
	if (err < 0 && err != -ENOTSUP)
		return farbus_failed(err, name);
	err = farbus_map(memory->region, 0, len, PROT_READ | PROT_WRITE, FARBUS_MAP_DIRECT,
			 &window);
	memory->plain = err == -ENOTSUP;
	if (memory->plain)
		window = plain_memory(len);
	else if (err < 0)
		return farbus_failed(err, name);
	if (!window)
		return error_set(-ENOMEM, "no memory for %zu MiB", len >> 20);
	/* The pages are there; now they are in this process's page table, too. */
	memset(window, 0, len);
	memory->window = window;
	return 0;
}

static int local_new(struct pair *pair)
{
	pair->local_len = pair->stream.len > pair->memory.len ? pair->stream.len : pair->memory.len;
	pair->local = plain_memory(pair->local_len);
	if (!pair->local)
		return error_set(-ENOMEM, "no memory for %zu MiB", pair->local_len >> 20);
	memset(pair->local, 0, pair->local_len);
	return 0;
}

static bool over_tcp(const struct farbus_region_info *info)
{
	return info->path == FARBUS_PATH_SERVED && strcmp(info->transport, "shm") != 0 &&
	       strcmp(info->transport, "verbs") != 0;
}

static int initiator_run(struct pair *pair, const struct options *options, bool stream)
{
	struct pair_memory *const memory[] = { &pair->memory, &pair->stream };
	size_t len[MEMORY_COUNT];
	uint64_t cpu = 0;
	int err = 0;

	pair_pin(options->cpu[0], 0, &pair->cpu);
	memory_lens(options, stream, len);
	for (int i = 0; i < MEMORY_COUNT && err == 0; i++)
		if (len[i])
			err = memory_take(pair->farbus, memory_name[i], len[i], memory[i], &cpu);
	if (err == 0)
		err = local_new(pair);
	if (err < 0)
		return err;
	pair->cpu_target = (int)cpu - 1;
	err = farbus_region_info(pair->memory.region, &pair->info);
	if (err < 0)
		return farbus_failed(err, "region_info");
	return over_tcp(&pair->info) ?
		       tcp_floor_open(pair->cpu_target, pair->local_len, &pair->tcp_floor) :
		       0;
}

/* ---- how the target is started ----------------------------------------------------------- */

/* In the child. The pipe becomes its standard input. */
static void __attribute__((noreturn)) target_exec(char **argv, int job_fd, pid_t parent)
{
	char *argv_target[TARGET_ARGV_LEN] = { argv[0], (char *)(uintptr_t) "--target" };
	int count = 2;

	for (int i = 1; argv[i] && count < TARGET_ARGV_LEN - 1; i++)
		argv_target[count++] = argv[i];
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && dup2(job_fd, STDIN_FILENO) == STDIN_FILENO)
		execv("/proc/self/exe", argv_target);
	_exit(PERF_EXIT_FAILED);
}

static int target_start(char **argv, const char *job, pid_t *ret_target)
{
	pid_t parent = getpid(), pid;
	int fd[2];
	ssize_t n;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return error_set(-errno, "cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		target_exec(argv, fd[0], parent);
	n = pid < 0 ? -1 : write(fd[1], job, JOB_LEN); /* fits into the pipe */
	close(fd[0]);
	close(fd[1]);
	if (n != JOB_LEN)
		return error_set(-EAGAIN, "cannot start the target: %s", strerror(errno));
	*ret_target = pid;
	return 0;
}

static int job_make(char job[JOB_LEN + 1])
{
	unsigned char random[14];
	int n = snprintf(job, JOB_LEN + 1, "farbus-perf.");

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return error_set(-EIO, "no random bytes for the name of the job");
	for (size_t i = 0; i < sizeof(random); i++)
		n += snprintf(job + n, (size_t)(JOB_LEN + 1 - n), "%02x", random[i]);
	return 0;
}

static int job_read(char job[JOB_LEN + 1])
{
	ssize_t n = read(STDIN_FILENO, job, JOB_LEN);

	if (n != JOB_LEN)
		return error_set(-EINVAL, "--target is for farbus-perf itself");
	job[JOB_LEN] = '\0';
	return 0;
}

/* Bounded: it has END_WAIT_MS to come to its end, then it is killed. */
static int target_end(pid_t target)
{
	uint64_t end = clock_now_ns() + END_WAIT_MS * NS_PER_MS;
	const struct timespec pause = { .tv_nsec = (long)NS_PER_MS };
	int status;
	pid_t pid;

	while ((pid = waitpid(target, &status, WNOHANG)) == 0 && clock_now_ns() < end)
		nanosleep(&pause, NULL);
	if (pid == 0) {
		kill(target, SIGKILL);
		waitpid(target, &status, 0);
		return error_set(-ECHILD, "the target did not come to its end, and was killed");
	}
	if (pid != target || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(-ECHILD, "the target failed");
	return 0;
}

/* Errors: -EINVAL the launcher started another number than two. */
static int instance_open(const struct farbus_conf *conf, struct farbus **ret_farbus,
			 uint32_t *ret_rank)
{
	struct farbus_self self;
	int err = farbus_open(conf, ret_farbus);

	if (err < 0)
		return farbus_failed(err, "cannot open an instance");
	err = farbus_self(*ret_farbus, &self);
	if (err < 0)
		err = farbus_failed(err, "self");
	else if (self.size != 2)
		err = error_set(-EINVAL, "%u ranks: start it with farbus-run -n 2, or alone",
				self.size);
	if (err < 0) {
		farbus_close(*ret_farbus);
		return err;
	}
	*ret_rank = self.rank;
	return 0;
}

static int conf_make(const struct options *options, char **argv, char job[JOB_LEN + 1],
		     struct farbus_conf *ret_conf, pid_t *ret_target)
{
	int err;

	*ret_conf = (struct farbus_conf){ .job = job, .size = 2 };
	if (options->target) {
		ret_conf->rank = 1;
		return job_read(job);
	}
	err = job_make(job);
	return err < 0 ? err : target_start(argv, job, ret_target);
}

int pair_open(const struct options *options, char **argv, bool stream, struct pair **ret_pair)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	struct farbus_conf conf = { 0 };
	char job[JOB_LEN + 1];
	uint32_t rank;
	int err = 0;

	if (!pair)
		return error_set(-ENOMEM, "no memory");
	if (!pair_launched() || options->target)
		err = conf_make(options, argv, job, &conf, &pair->target);
	if (err == 0)
		err = instance_open(conf.job ? &conf : NULL, &pair->farbus, &rank);
	if (err < 0) {
		pair->farbus = NULL;
		goto close_pair;
	}
	err = rank == 1 ? target_run(pair->farbus, options, stream) :
			  initiator_run(pair, options, stream);
	if (err < 0 || rank == 1)
		goto close_pair;
	*ret_pair = pair;
	return 0;

close_pair:
	if (err < 0 && pair->target > 0)
		kill(pair->target, SIGTERM); /* or it would wait for us until its own time limit */
	tcp_floor_close(pair->tcp_floor);
	farbus_close(pair->farbus);
	if (pair->target > 0)
		waitpid(pair->target, NULL, 0);
	free(pair);
	if (err == 0)
		*ret_pair = NULL;
	return err;
}

int pair_close(struct pair *pair)
{
	int err = 0;

	if (!pair)
		return 0;
	tcp_floor_close(pair->tcp_floor); /* first: it has descriptors of ours */
	farbus_close(pair->farbus);
	if (pair->target > 0)
		err = target_end(pair->target);
	munmap(pair->local, pair->local_len);
	free(pair);
	return err;
}
