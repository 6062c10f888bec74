/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * job_end.c -- how a job ends: signals, failures, time limit, exit code
 *
 * A rank that has ended is left a zombie until its process group is killed, so that the group's
 * number cannot be somebody else's by then.
 */
#include "apps/farbus-run/job_private.h"

#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEAD_FENCE_CODE 1
#define WIRE_READ_MAX 16384

void job_fail(struct job *job, int code)
{
	if (job->code < 0)
		job->code = code;
}

void job_signal_all(const struct job *job, int signal)
{
	for (uint32_t i = 0; i < job->conf->options->size; i++) {
		if (job->rank[i].pid > 0)
			kill(-job->rank[i].pid, signal);
	}
}

void job_kill(struct job *job)
{
	job->ending = true;
	job->killed = true;
	job->kill_at = 0;
	job_signal_all(job, SIGKILL);
}

void job_end(struct job *job)
{
	if (job->ending)
		return;
	job->ending = true;
	job->kill_at = clock_now_ns() + job->conf->options->grace_ns;
	job->give_up_at = job->kill_at + NS_PER_S;
	job_signal_all(job, SIGTERM);
	job_signal_all(job, SIGCONT); /* a stopped process takes SIGTERM when it goes on */
}

static const char *ends_text(const struct job *job)
{
	return job->conf->options->keep_going ? "the others go on" : "ending the others";
}

static void rank_failed(struct job *job, uint32_t rank, const siginfo_t *info)
{
	bool exited = info->si_code == CLD_EXITED;

	if (!job->ending && exited)
		job_say(job, "rank %u (pid %d) exited with code %d; %s", rank, info->si_pid,
			info->si_status, ends_text(job));
	else if (!job->ending)
		job_say(job, "rank %u (pid %d) was ended by signal %d (%s)%s; %s", rank,
			info->si_pid, info->si_status, strsignal(info->si_status),
			info->si_code == CLD_DUMPED ? ", core dumped" : "", ends_text(job));
	job_fail(job, exited ? info->si_status : 128 + info->si_status);
	if (!job->conf->options->keep_going)
		job_end(job);
}

/* What it wrote before its end is in the pipe; a process that left its group may hold it open. */
static void pipe_last(struct job_pipe *pipe)
{
	if (pipe->fd < 0)
		return;
	pipe->last = true;
	if (ioctl(pipe->fd, FIONREAD, &pipe->quota) < 0)
		pipe->quota = 0;
}

static void rank_ended(struct job *job, uint32_t rank, const siginfo_t *info)
{
	struct job_rank *ended = &job->rank[rank];
	pid_t pid = ended->pid;

	kill(-pid, SIGKILL); /* what it started and left behind */
	ended->pid = 0;
	job->running--;
	job_pmi_read(job, rank); /* an abort may have been its last word */
	if (info->si_code != CLD_EXITED || info->si_status != 0)
		rank_failed(job, rank, info);
	job_pmi_close(job, rank);
	input_reader_drop(&job->input, rank);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	guard_note(job->conf->guard, rank, 0);
	pipe_last(&ended->pipe[0]);
	pipe_last(&ended->pipe[1]);
}

static uint32_t rank_find(const struct job *job, pid_t pid)
{
	uint32_t i = 0;

	while (i < job->conf->options->size && job->rank[i].pid != pid)
		i++;
	return i;
}

static void ranks_reap(struct job *job)
{
	for (;;) {
		siginfo_t info = { .si_pid = 0 };
		uint32_t rank;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		rank = rank_find(job, info.si_pid);
		if (rank < job->conf->options->size)
			rank_ended(job, rank, &info);
		else
			waitpid(info.si_pid, NULL, 0); /* the guard, or a child of our exec */
	}
}

static void on_end_signal(struct job *job, int signal)
{
	bool again = job->ending && signal != SIGTERM && signal != SIGHUP;

	if (again) {
		job->impatient = true;
		if (!job->killed)
			job_say(job, "killing %u ranks", job->running);
		job_kill(job);
		return;
	}
	if (!job->ending)
		job_say(job, "%s: ending %u ranks%s", strsignal(signal), job->running,
			signal == SIGINT ? "; once more kills them now" : "");
	job_fail(job, 128 + signal);
	job_end(job);
}

/* Ranks are in groups of their own, so the terminal's signal did not reach them. */
static void on_stop_signal(struct job *job)
{
	output_flush(&job->sink[0]);
	output_flush(&job->sink[1]);
	job_signal_all(job, SIGTSTP);
	raise(SIGSTOP);
}

static void on_signal(struct job *job, int signal)
{
	switch (signal) {
	case SIGCHLD:
		ranks_reap(job);
		return;
	case SIGTSTP:
		on_stop_signal(job);
		return;
	case SIGCONT:
		job_signal_all(job, SIGCONT);
		input_resume(&job->input);
		return;
	case SIGUSR1:
	case SIGUSR2:
		job_signal_all(job, signal);
		return;
	default:
		on_end_signal(job, signal);
	}
}

void job_on_signals(struct job *job)
{
	struct signalfd_siginfo info;

	while (read(job->signals, &info, sizeof(info)) == sizeof(info))
		on_signal(job, (int)info.ssi_signo);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return a < b ? a : b;
}

static void stuck_end(struct job *job)
{
	job->stuck_at = 0;
	if (job->ending)
		return;
	job_say(job,
		"rank %u has left the job, but %u ranks wait for it in a fence; ending the others",
		job->stuck_gone, job->stuck_waiting);
	job_fail(job, DEAD_FENCE_CODE);
	job_end(job);
}

uint64_t job_on_time(struct job *job)
{
	uint64_t now = clock_now_ns(), next;

	if (job->limit_at && now >= job->limit_at) {
		job->limit_at = 0;
		if (!job->ending && job->running > 0) {
			job_say(job, "time limit of %g s: ending %u ranks",
				(double)job->conf->options->timeout_ns / 1e9, job->running);
			job_fail(job, RUN_EXIT_TIME);
			job_end(job);
		}
	}
	if (job->kill_at && now >= job->kill_at) {
		if (job->running > 0)
			job_say(job, "%u ranks did not end: killing them", job->running);
		job_kill(job);
	}
	if (job->give_up_at && now >= job->give_up_at)
		job->impatient = true;
	if (job->stuck_at && now >= job->stuck_at)
		stuck_end(job);
	next = earlier(job->impatient ? 0 : job->give_up_at, job->stuck_at);
	return earlier(next, earlier(job->limit_at, job->kill_at));
}

static void pmi_send(void *arg, uint32_t rank, const char *line, size_t len)
{
	struct job *job = arg;

	/* A rank has one answer outstanding. One that lets them pile up sees the channel's end. */
	if (job->rank[rank].pmi >= 0 &&
	    send(job->rank[rank].pmi, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		shutdown(job->rank[rank].pmi, SHUT_RDWR);
}

static void pmi_abort(void *arg, uint32_t rank, int code)
{
	struct job *job = arg;
	/* An exit code has eight bits, and an abort is no success. */
	int exit_code = (code & 0xff) ? code & 0xff : 1;

	if (!job->ending)
		job_say(job, "rank %u aborts the job with code %d", rank, code);
	job_fail(job, exit_code);
	job_end(job);
}

/*
 * Who left, but still runs, is most likely about to say why and to end with a code of its own. Ended
 * with the others it would do neither, so it has the grace time for that.
 */
static void pmi_stuck(void *arg, uint32_t gone, uint32_t waiting)
{
	struct job *job = arg;

	if (job->ending)
		return;
	if (job->conf->options->keep_going) {
		pmi_server_release(job->server);
		return;
	}
	job->stuck_gone = gone;
	job->stuck_waiting = waiting;
	if (job->rank[gone].pid == 0)
		stuck_end(job);
	else if (!job->stuck_at)
		job->stuck_at = clock_now_ns() + job->conf->options->grace_ns;
}

const struct pmi_server_ops job_pmi_ops = { pmi_send, pmi_abort, pmi_stuck };

void job_pmi_close(struct job *job, uint32_t rank)
{
	if (job->rank[rank].pmi < 0)
		return;
	close(job->rank[rank].pmi);
	job->rank[rank].pmi = -1;
	pmi_server_gone(job->server, rank);
}

void job_pmi_read(struct job *job, uint32_t rank)
{
	char data[WIRE_READ_MAX];
	ssize_t n;

	while (job->rank[rank].pmi >= 0) {
		n = recv(job->rank[rank].pmi, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			job_pmi_close(job, rank);
			return;
		}
		if (pmi_server_input(job->server, rank, data, (size_t)n) == 0)
			continue;
		job_say(job, "%s", error_text());
		job_fail(job, RUN_EXIT_LAUNCHER);
		job_end(job);
		job_pmi_close(job, rank);
	}
}
