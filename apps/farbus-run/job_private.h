/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * job_private.h -- state of a running job; shared by job.c (loop, start) and job_end.c (rules)
 */
#ifndef APPS_FARBUS_RUN_JOB_PRIVATE_H
#define APPS_FARBUS_RUN_JOB_PRIVATE_H

#include "apps/farbus-run/input.h"
#include "apps/farbus-run/job.h"
#include "apps/farbus-run/output.h"
#include "apps/farbus-run/pmi_server.h"

/* High half of an epoll tag; the low half is the rank. */
enum job_source {
	JOB_SIGNAL,
	JOB_STDOUT, /* of a rank */
	JOB_STDERR,
	JOB_PMI,
	JOB_INPUT,
	JOB_READER,
	JOB_SINK, /* our own stdout and stderr; rank is 0 or 1 */
};

#define JOB_TAG(source, rank) ((uint64_t)(source) << 32 | (rank))

struct job_pipe {
	int fd;	      /* owned; -1: closed */
	bool watched; /* in the epoll set */
	bool last;    /* all writers have ended: quota bytes are left */
	int quota;
	struct output_stream *stream; /* owned */
};

struct job_rank {
	pid_t pid;		 /* 0: not running */
	int pmi;		 /* owned; -1: closed */
	struct job_pipe pipe[2]; /* stdout, stderr */
};

struct job {
	const struct job_conf *conf; /* borrowed */
	int epoll, signals;	     /* owned */
	int null;		     /* owned: /dev/null */
	struct pmi_server *server;   /* owned */
	struct job_rank *rank;	     /* owned */
	uint32_t running;
	struct output_sink sink[2];
	bool sink_watched[2], sink_lost[2];
	struct input input;
	int code;	  /* exit code; -1: nothing failed so far */
	bool ending;	  /* SIGTERM was sent */
	bool killed;	  /* SIGKILL was sent */
	bool impatient;	  /* unwritten output is dropped */
	uint64_t kill_at; /* 0: not set */
	uint64_t limit_at;
	uint64_t stuck_at; /* a fence cannot end: what left it has until then to end by itself */
	uint32_t stuck_gone, stuck_waiting;
	uint64_t give_up_at; /* output that nobody reads is dropped then; 0: wait */
};

/* Said on stderr, in order with what ranks print. */
#define job_say(job, ...) output_say(&(job)->sink[1], __VA_ARGS__)

/* The first failure decides the exit code. */
void job_fail(struct job *job, int code);
/* SIGTERM to all now, SIGKILL after the grace time. */
void job_end(struct job *job);
void job_kill(struct job *job);
/* To each rank's process group. */
void job_signal_all(const struct job *job, int signal);

/* Reads signals; reaps ranks. */
void job_on_signals(struct job *job);
/* Time limit and escalation; returns when to come back, 0: never. */
uint64_t job_on_time(struct job *job);

extern const struct pmi_server_ops job_pmi_ops;
void job_pmi_close(struct job *job, uint32_t rank);
/* Takes what the rank sent. */
void job_pmi_read(struct job *job, uint32_t rank);

#endif
