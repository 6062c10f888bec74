/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * job.c -- starts the ranks, and one loop for all they do
 *
 * Invariants:
 *   1. running is the number of ranks with a pid
 *   2. a pipe is watched exactly while it is open and its sink has room
 */
#include "apps/farbus-run/job_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENT_MAX 64

static int watch(const struct job *job, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event event = { .events = events, .data.u64 = tag };

	return epoll_ctl(job->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void pipe_close(struct job *job, uint32_t rank, int which)
{
	struct job_pipe *pipe = &job->rank[rank].pipe[which];

	if (pipe->fd < 0)
		return;
	output_end(&job->sink[which], pipe->stream);
	close(pipe->fd);
	pipe->fd = -1;
	pipe->watched = false;
	free(pipe->stream);
	pipe->stream = NULL;
}

/* Our side of a rank's descriptors, and the rank's side for the time of its start. */
struct ends {
	int input, output[2], error[2], pmi[2];
};

static void ends_close(struct ends *ends, int null)
{
	int fd[] = { ends->output[0],
		     ends->output[1],
		     ends->error[0],
		     ends->error[1],
		     ends->pmi[0],
		     ends->pmi[1],
		     ends->input == null ? -1 : ends->input };

	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		if (fd[i] >= 0)
			close(fd[i]);
	}
}

static bool rank_reads(const struct options *options, uint32_t rank)
{
	return options->input == INPUT_ALL || (options->input == INPUT_FIRST && rank == 0);
}

static int input_open(struct job *job, uint32_t rank, int *ret_fd)
{
	int fd[2], err;

	if (!rank_reads(job->conf->options, rank)) {
		*ret_fd = job->null;
		return 0;
	}
	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	/* Only our end: programs do not expect to read from a non-blocking one. */
	if (fcntl(fd[1], F_SETFL, O_NONBLOCK) < 0) {
		err = -errno;
		close(fd[0]);
		close(fd[1]);
		return err;
	}
	*ret_fd = fd[0];
	return input_reader_add(&job->input, rank, fd[1]);
}

static int ends_open(struct job *job, uint32_t rank, struct ends *ret_ends)
{
	struct ends ends = { job->null, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	int err = input_open(job, rank, &ends.input);

	if (err == 0 && (pipe2(ends.output, O_CLOEXEC) < 0 || pipe2(ends.error, O_CLOEXEC) < 0 ||
			 socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.pmi) < 0 ||
			 fcntl(ends.output[0], F_SETFL, O_NONBLOCK) < 0 ||
			 fcntl(ends.error[0], F_SETFL, O_NONBLOCK) < 0))
		err = -errno;
	if (err < 0) {
		ends_close(&ends, job->null);
		return err;
	}
	*ret_ends = ends;
	return 0;
}

static int pipe_watch(struct job *job, uint32_t rank, int which)
{
	struct job_pipe *pipe = &job->rank[rank].pipe[which];
	int err;

	if (pipe->fd < 0 || pipe->watched)
		return 0;
	err = watch(job, pipe->fd, EPOLLIN, JOB_TAG(which ? JOB_STDERR : JOB_STDOUT, rank));
	pipe->watched = err == 0;
	return err;
}

/* Takes our side of the ends. */
static int rank_adopt(struct job *job, uint32_t rank, struct ends *ends)
{
	struct job_rank *self = &job->rank[rank];
	int err;

	self->pmi = ends->pmi[0];
	self->pipe[0].fd = ends->output[0];
	self->pipe[1].fd = ends->error[0];
	ends->pmi[0] = ends->output[0] = ends->error[0] = -1;
	for (int i = 0; i < 2; i++) {
		self->pipe[i].stream = alloc_zero(sizeof(struct output_stream));
		if (!self->pipe[i].stream)
			return -ENOMEM;
		self->pipe[i].stream->rank = rank;
		err = pipe_watch(job, rank, i);
		if (err < 0)
			return err;
	}
	return watch(job, self->pmi, EPOLLIN, JOB_TAG(JOB_PMI, rank));
}

/* One line that says which step failed and what to do. Returns the exit code. */
static int start_report(struct job *job, uint32_t rank, int err, enum child_step step)
{
	const char *program = job->conf->options->command[0];

	if (step == CHILD_EXEC && (err == -ENOENT || err == -ENOTDIR)) {
		job_say(job, "cannot find %.200s: %s; check its name, or give a path with a slash",
			program, strerror(-err));
		return RUN_EXIT_NOT_FOUND;
	}
	if (step == CHILD_EXEC) {
		job_say(job,
			"cannot execute %.200s: %s; check its permissions and format (chmod +x)",
			program, strerror(-err));
		return RUN_EXIT_NOT_EXECUTABLE;
	}
	if (step == CHILD_BIND)
		job_say(job, "cannot bind rank %u to %s: %s; use --bind none", rank,
			job->conf->bind->place[rank].text, strerror(-err));
	else
		job_say(job,
			"cannot start rank %u: %s; raise the limits of processes and open files "
			"(ulimit -u, -n), or give a smaller -n",
			rank, strerror(-err));
	return RUN_EXIT_LAUNCHER;
}

/* Returns 0 or an exit code. */
static int rank_start(struct job *job, uint32_t rank)
{
	const struct job_conf *conf = job->conf;
	enum child_step step = CHILD_SETUP;
	struct ends ends;
	struct child_conf child;
	int err = ends_open(job, rank, &ends);

	if (err < 0)
		return start_report(job, rank, err, step);
	environment_rank(conf->environment, rank, ends.pmi[1]);
	child = (struct child_conf){
		.argv = conf->options->command,
		.envp = conf->environment->entry,
		.input = ends.input,
		.output = ends.output[1],
		.error = ends.error[1],
		.pmi = ends.pmi[1],
		.mask = conf->bind->place[rank].mask,
		.mask_len = conf->bind->place[rank].mask_len,
		.origin = conf->origin,
	};
	err = child_start(&child, &job->rank[rank].pid, &step);
	if (err == 0) {
		job->running++;
		guard_note(conf->guard, rank, job->rank[rank].pid);
		err = rank_adopt(job, rank, &ends);
	}
	ends_close(&ends, job->null);
	return err < 0 ? start_report(job, rank, err, step) : 0;
}

static void ranks_start(struct job *job)
{
	for (uint32_t i = 0; i < job->conf->options->size; i++) {
		int code = rank_start(job, i);

		if (code != 0) {
			job_fail(job, code);
			job_end(job);
			return;
		}
	}
}

static void pipe_read(struct job *job, uint32_t rank, int which)
{
	struct job_pipe *pipe = &job->rank[rank].pipe[which];
	char data[OUTPUT_READ_MAX];
	size_t want = sizeof(data);
	ssize_t n;

	if (pipe->fd < 0)
		return;
	if (pipe->last && (size_t)pipe->quota < want)
		want = (size_t)pipe->quota;
	n = want ? read(pipe->fd, data, want) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !pipe->last)
		return;
	if (n <= 0) {
		pipe_close(job, rank, which);
		return;
	}
	output_feed(&job->sink[which], pipe->stream, data, (size_t)n);
	pipe->quota -= pipe->last ? (int)n : 0;
}

/* Nobody reads our output: ranks learn it from their own pipes, as they would without us. */
static void sink_lost(struct job *job, int which)
{
	int err = job->sink[which].err;

	job->sink_lost[which] = true;
	if (job->sink_watched[which])
		epoll_ctl(job->epoll, EPOLL_CTL_DEL, which + 1, NULL);
	job->sink_watched[which] = false;
	for (uint32_t i = 0; i < job->conf->options->size; i++)
		pipe_close(job, i, which);
	if (err == -EPIPE)
		return;
	job_say(job, "cannot write to %s: %s; ending the job", which ? "stderr" : "stdout",
		strerror(-err));
	job_fail(job, RUN_EXIT_LAUNCHER);
	job_end(job);
}

/* Pauses the ranks whose output has no room, wakes them when it has. */
static void sink_run(struct job *job, int which)
{
	struct output_sink *sink = &job->sink[which];
	bool room, wanted;

	output_flush(sink);
	if (sink->err && !job->sink_lost[which])
		sink_lost(job, which);
	room = output_room(sink);
	for (uint32_t i = 0; i < job->conf->options->size; i++) {
		struct job_pipe *pipe = &job->rank[i].pipe[which];

		if (room && !pipe->watched && pipe->fd >= 0)
			(void)pipe_watch(job, i, which);
		if (!room && pipe->watched) {
			epoll_ctl(job->epoll, EPOLL_CTL_DEL, pipe->fd, NULL);
			pipe->watched = false;
		}
	}
	wanted = output_pending(sink);
	if (wanted == job->sink_watched[which])
		return;
	/* A file cannot be watched and never waits. */
	if (!wanted)
		epoll_ctl(job->epoll, EPOLL_CTL_DEL, which + 1, NULL);
	job->sink_watched[which] =
		wanted && watch(job, which + 1, EPOLLOUT, JOB_TAG(JOB_SINK, (uint32_t)which)) == 0;
}

static void on_event(struct job *job, const struct epoll_event *event)
{
	uint32_t rank = (uint32_t)event->data.u64;

	switch ((enum job_source)(event->data.u64 >> 32)) {
	case JOB_SIGNAL:
		job_on_signals(job);
		return;
	case JOB_STDOUT:
		pipe_read(job, rank, 0);
		return;
	case JOB_STDERR:
		pipe_read(job, rank, 1);
		return;
	case JOB_PMI:
		job_pmi_read(job, rank);
		return;
	case JOB_INPUT:
		input_run(&job->input, true);
		return;
	case JOB_READER:
		input_reader_event(&job->input, rank, event->events);
		return;
	case JOB_SINK:
		return; /* sink_run() follows every round */
	}
}

/* After the last rank: what is left in the pipes, then what is left in the queues. */
static bool finished(struct job *job)
{
	if (job->running > 0)
		return false;
	if (job->impatient)
		return true;
	for (uint32_t i = 0; i < job->conf->options->size; i++) {
		for (int which = 0; which < 2; which++) {
			struct job_pipe *pipe = &job->rank[i].pipe[which];

			if (pipe->fd >= 0 && pipe->last && pipe->quota == 0)
				pipe_close(job, i, which);
			if (pipe->fd >= 0)
				return false;
		}
	}
	return !output_pending(&job->sink[0]) && !output_pending(&job->sink[1]);
}

static int wait_ms(uint64_t until)
{
	uint64_t now = clock_now_ns();

	if (until == 0)
		return -1;
	if (until <= now)
		return 0;
	until = (until - now + NS_PER_MS - 1) / NS_PER_MS;
	return until > INT_MAX ? INT_MAX : (int)until;
}

static void loop(struct job *job)
{
	struct epoll_event event[EVENT_MAX];

	for (;;) {
		uint64_t until = job_on_time(job);
		int n;

		if (finished(job))
			return;
		sink_run(job, 0);
		sink_run(job, 1);
		if (finished(job))
			return;
		n = epoll_wait(job->epoll, event, EVENT_MAX, wait_ms(until));
		for (int i = 0; i < n; i++)
			on_event(job, &event[i]);
	}
}

static int job_open(struct job *job)
{
	const struct options *options = job->conf->options;
	bool lines = options->size > 1;
	int err;

	job->epoll = epoll_create1(EPOLL_CLOEXEC);
	job->signals = signalfd(-1, job->conf->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	job->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (job->epoll < 0 || job->signals < 0 || job->null < 0)
		return error_set(-errno,
				 "cannot open what the launcher needs: %s; raise the limit "
				 "of open files (ulimit -n)",
				 strerror(errno));
	err = output_sink_init(&job->sink[0], 1, options->tag, options->timestamp, lines);
	if (err == 0)
		err = output_sink_init(&job->sink[1], 2, options->tag, options->timestamp, lines);
	if (err == 0)
		err = pmi_server_new(options->size, &job_pmi_ops, job, &job->server);
	if (err == 0)
		err = input_init(&job->input, job->epoll, options->size, JOB_TAG(JOB_INPUT, 0),
				 JOB_TAG(JOB_READER, 0));
	if (err == 0)
		err = watch(job, job->signals, EPOLLIN, JOB_TAG(JOB_SIGNAL, 0));
	job->rank = alloc_array(options->size, sizeof(*job->rank));
	for (uint32_t i = 0; job->rank && i < options->size; i++)
		job->rank[i].pmi = job->rank[i].pipe[0].fd = job->rank[i].pipe[1].fd = -1;
	return err == 0 && !job->rank ? error_set(-ENOMEM, "no memory for the ranks") : err;
}

static void job_close(struct job *job)
{
	for (uint32_t i = 0; job->rank && i < job->conf->options->size; i++) {
		pipe_close(job, i, 0);
		pipe_close(job, i, 1);
		if (job->rank[i].pmi >= 0)
			close(job->rank[i].pmi);
	}
	free(job->rank);
	input_fini(&job->input);
	pmi_server_free(job->server);
	output_sink_fini(&job->sink[0]);
	output_sink_fini(&job->sink[1]);
	if (job->null >= 0)
		close(job->null);
	if (job->signals >= 0)
		close(job->signals);
	if (job->epoll >= 0)
		close(job->epoll);
}

static int job_run_in(struct job *job)
{
	uint64_t timeout_ns = job->conf->options->timeout_ns;

	job->code = -1;
	if (timeout_ns)
		job->limit_at = clock_now_ns() + timeout_ns;
	ranks_start(job);
	input_run(&job->input, false);
	loop(job);
	return job->code < 0 ? 0 : job->code;
}

int job_run(const struct job_conf *conf)
{
	struct job *job = alloc_zero(sizeof(*job)); /* the input's chunk is too big for a stack */
	int code = RUN_EXIT_LAUNCHER;

	if (!job) {
		dprintf(2, "farbus-run: no memory\n");
		return code;
	}
	job->conf = conf;
	job->epoll = job->signals = job->null = -1;
	if (job_open(job) < 0)
		dprintf(2, "farbus-run: %s\n", error_text());
	else
		code = job_run_in(job);
	job_close(job);
	free(job);
	return code;
}
