/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer.c -- asks live instances about themselves
 *
 * Invariants:
 *   1. A question is under way while its status is -EINPROGRESS; then it has a descriptor, or the
 *      other side's backlog was full and it is tried again.
 *   2. Whatever a peer does, a batch ends at its deadline.
 */
#include "apps/farbus-info/peer.h"

#include "apps/farbus-info/document.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHUNK ((size_t)64 << 10)
#define AGAIN_MS 10 /* between two tries while somebody's backlog is full */

struct question {
	struct peer *peer; /* borrows */
	int fd;		   /* -1: none */
	char *text;	   /* owned */
	size_t len, room;
};

static void question_end(struct question *question, int status, const char *why)
{
	question->peer->status = status;
	snprintf(question->peer->why, PEER_WHY_SIZE, "%s", why);
	if (question->fd >= 0)
		close(question->fd);
	question->fd = -1;
	free(question->text);
	question->text = NULL;
}

/* The letter of /proc/PID/stat, after the command in parentheses; 0: there is no such process. */
static char process_state(pid_t pid)
{
	char path[64], line[512] = "";
	const char *after;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	after = strrchr(line, ')');
	return after && after[1] == ' ' ? after[2] : 0;
}

static void question_timeout(struct question *question)
{
	char state = process_state(question->peer->name.pid);

	if (state == 'T' || state == 't')
		question_end(
			question, -ETIMEDOUT,
			"the process is stopped and cannot answer: continue it with kill -CONT");
	else if (state == 0 || state == 'Z')
		question_end(question, -EHOSTDOWN,
			     "the process has ended; a child of it keeps its socket");
	else
		question_end(question, -ETIMEDOUT,
			     "no answer in time: its service thread does not run, or the machine "
			     "is overloaded; try again");
}

/* Who listens there, as the kernel wrote it down when it began to. */
static bool peer_proven(struct question *question)
{
	struct ucred peer = { .pid = 0, .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);

	if (getsockopt(question->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != getuid() && getuid() != 0)) {
		question_end(question, -EACCES, "it belongs to another user");
		return false;
	}
	if (peer.pid != question->peer->name.pid) {
		question_end(question, -EACCES,
			     "another process, or one of another PID namespace, uses this name");
		return false;
	}
	return true;
}

static void question_connect(struct question *question)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int len, err;

	question->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (question->fd < 0) {
		question_end(question, -EIO, "no descriptor left: raise ulimit -n");
		return;
	}
	len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "farbus-info.%d.%u",
		       (int)question->peer->name.pid, question->peer->name.instance);
	err = connect(question->fd, (struct sockaddr *)&addr,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len));
	if (err == 0) {
		peer_proven(question);
	} else if (errno == EAGAIN) {
		close(question->fd);
		question->fd = -1;
	} else {
		question_end(question, -EHOSTDOWN, "it has ended meanwhile");
	}
}

static void question_finish(struct question *question)
{
	json_t *document = NULL;
	int err;

	if (question->len == 0) {
		question_end(question, -EHOSTDOWN,
			     "it closed the connection without an answer: it "
			     "is ending, or does not answer this user");
		return;
	}
	err = peer_answer_parse(question->text, question->len, &document);
	if (err == 0 && (document_number(document, "pid") != (uint64_t)question->peer->name.pid ||
			 document_number(document, "instance") != question->peer->name.instance)) {
		json_decref(document);
		err = error_set(-EPROTO, "the answer is about another instance");
	}
	if (err == 0)
		question->peer->document = document;
	question_end(question, err, err == 0 ? "" : error_text());
}

static void question_read(struct question *question)
{
	ssize_t n;

	if (question->room - question->len < CHUNK) {
		size_t room = question->room * 2 + CHUNK;
		char *more = room > PEER_ANSWER_MAX ? NULL : alloc_resize(question->text, room, 1);

		if (!more) {
			question_end(question, -EPROTO, "its answer is too long");
			return;
		}
		question->text = more;
		question->room = room;
	}
	n = recv(question->fd, question->text + question->len, question->room - question->len, 0);
	if (n > 0)
		question->len += (size_t)n;
	else if (n == 0)
		question_finish(question);
	else if (errno != EAGAIN && errno != EINTR)
		question_end(question, -EHOSTDOWN, "it ended while it answered");
}

/* Waits for the first of them to say something, and connects those that could not yet. */
static bool batch_wait(struct question *questions, struct pollfd *polled, size_t count,
		       uint64_t until)
{
	uint64_t now = clock_now_ns();
	int wait = (int)((until - now) / NS_PER_MS) + 1;
	bool open = false;

	if (now >= until)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct question *question = &questions[i];

		if (question->peer->status == -EINPROGRESS && question->fd < 0)
			question_connect(question);
		polled[i] = (struct pollfd){ .fd = question->fd, .events = POLLIN };
		if (question->peer->status != -EINPROGRESS)
			continue;
		open = true;
		if (question->fd < 0 && wait > AGAIN_MS)
			wait = AGAIN_MS;
	}
	if (open)
		poll(polled, count, wait);
	return open;
}

static int batch_ask(struct peer *peers, size_t count)
{
	struct question *questions = alloc_array(count, sizeof(*questions));
	struct pollfd *polled = alloc_array(count, sizeof(*polled));
	uint64_t until = clock_now_ns() + PEER_TIMEOUT_MS * NS_PER_MS;

	if (!questions || !polled) {
		free(questions);
		free(polled);
		return error_set(-ENOMEM, "no memory to ask %zu instances", count);
	}
	for (size_t i = 0; i < count; i++) {
		questions[i] = (struct question){ .peer = &peers[i], .fd = -1 };
		peers[i].status = -EINPROGRESS;
	}
	while (batch_wait(questions, polled, count, until))
		for (size_t i = 0; i < count; i++)
			if (questions[i].fd >= 0 && polled[i].revents)
				question_read(&questions[i]);
	for (size_t i = 0; i < count; i++)
		if (peers[i].status == -EINPROGRESS)
			question_timeout(&questions[i]);
	free(questions);
	free(polled);
	return 0;
}

int peers_ask(struct peer *peers, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && err == 0; i += PEER_BATCH_MAX)
		err = batch_ask(&peers[i],
				count - i < PEER_BATCH_MAX ? count - i : (size_t)PEER_BATCH_MAX);
	return err;
}

void peers_free(struct peer *peers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_decref(peers[i].document);
	free(peers);
}

int peer_answer_parse(const char *text, size_t len, json_t **ret_document)
{
	json_error_t error;
	json_t *document = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	int err;

	if (!document)
		return error_set(-EPROTO,
				 "its answer is no JSON (byte %d: %.80s): use the "
				 "farbus-info of its farbus",
				 error.position, error.text);
	err = document_check(document);
	if (err < 0) {
		json_decref(document);
		return err;
	}
	*ret_document = document;
	return 0;
}
