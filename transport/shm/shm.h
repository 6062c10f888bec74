/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shm.h -- the transport between processes of one host
 *
 * A link is a SOCK_SEQPACKET connection to an abstract name, which leaves no file, and one sealed
 * memfd with a channel in it. Messages go through the channel; the socket carries descriptors,
 * and its end, or the pidfd's, tells that the peer is gone. A stopped peer has neither ended.
 *
 *   connector                                  acceptor
 *   HELLO, memfd, 2 doorbells  ---- socket ---->   checks size and seals, maps
 *                              <---- socket ----   WELCOME (or REFUSE and why)
 *   messages                   <--- channel --->   messages
 *   descriptor n               ---- socket ---->   taken when marker n comes out of the channel
 *
 * Invariants:
 *   1. transport->link[i]->index == i, for i < link_count
 *   2. A link that is UP or beyond, or that connect() returned, is the user's: link_close() frees
 *      it. Others (accepted, no HELLO yet) are counted in half_open and freed here.
 *   3. Doorbells are emptied and armed by park() alone, so that a thread that only polls never
 *      takes a wake-up from the one that sleeps.
 */
#ifndef TRANSPORT_SHM_SHM_H
#define TRANSPORT_SHM_SHM_H

#include "transport/shm/channel.h"
#include "transport/transport.h"

#define SHM_LINK_MAX 4096
#define SHM_HALF_OPEN_MAX 64 /* accepted, no HELLO yet; the oldest makes room */
#define SHM_FD_MAX 16	     /* descriptors under way on a link */
#define SHM_HELLO_FDS 3

extern const struct transport_ops transport_shm;

enum link_state {
	LINK_ACCEPTED,	 /* waits for HELLO */
	LINK_CONNECTING, /* waits for WELCOME */
	LINK_OPEN,
	LINK_FAILED, /* LINK_DOWN is due */
	LINK_ENDED,  /* LINK_DOWN or LINK_GONE was told */
	LINK_LINGER, /* ended here; the other end is still watched */
	LINK_LEFT,   /* LINK_GONE is due */
	LINK_GONE,   /* half open and given up: freed at the end of the round */
};

struct transport_link {
	struct transport *transport;
	void *user;
	enum link_state state;
	unsigned index; /* in transport->link */
	bool accepted;
	bool up_due;
	bool hup;	    /* the peer is gone; what it sent is still to be read */
	uint64_t hup_limit; /* position in the channel up to which it can have sent */
	int status;	    /* why it failed */
	int socket, pidfd, bell_self, bell_peer; /* owned; -1: none */
	pid_t pid;
	uid_t uid;
	void *memory; /* owned mapping of CHANNEL_SIZE; NULL: none */
	struct channel channel;
	bool want;    /* WRITABLE is due when want_len bytes have room */
	bool want_fd; /* ... and a descriptor has */
	size_t want_len;
	uint32_t serial_out, serial_in;
	unsigned fd_count;	     /* under way */
	uint64_t fd_end[SHM_FD_MAX]; /* channel position after each, oldest first */
};

struct transport {
	int listener, epoll, reserve; /* owned */
	bool look_due;		      /* slept since the last look at epoll */
	unsigned polls;		      /* since the last look */
	uint64_t look_at;	      /* ns */
	struct transport_link **link; /* owned */
	unsigned link_count, link_size, cursor, half_open, gone;
	char locator[TRANSPORT_LOCATOR_MAX];
	_Alignas(8) uint8_t message[SHM_MESSAGE_MAX];
};

/* ---- wire.c: the socket ---- */

enum wire_kind { WIRE_HELLO = 1, WIRE_WELCOME, WIRE_REFUSE, WIRE_FD };

struct wire_message {
	uint32_t magic; /* names the version, too */
	uint32_t kind;
	uint32_t value; /* HELLO: CHANNEL_SIZE; REFUSE: errno; FD: serial */
	uint32_t reserved;
};

/* Errors: -EINVAL empty, -ENAMETOOLONG. */
int wire_listen(const char *locator, int *ret_socket);
int wire_connect(const char *locator, int *ret_socket);
/* Never blocks. Errors: -EAGAIN, -EHOSTDOWN, -EBADF. */
int wire_send(int socket, const struct wire_message *message, const int *fds, unsigned count);
/*
 * Never blocks. *ret_count <= count descriptors came along, the caller owns them. Errors: -EAGAIN nothing,
 * -EHOSTDOWN the end, -EPROTO not a message of ours, -EMFILE no room for its descriptors.
 */
int wire_receive(int socket, struct wire_message *ret_message, int *ret_fds, unsigned count,
		 unsigned *ret_count);
/* Errors: -EACCES another user. */
int wire_peer(int socket, const char *who, pid_t *ret_pid, uid_t *ret_uid);
/* -1: none to be had, or not needed. */
int wire_pidfd(int socket, pid_t pid);

/* ---- link.c: the life of a link ---- */

int link_connect(struct transport *transport, const char *locator,
		 struct transport_link **ret_link);
void link_accept(struct transport *transport);
/* Something happened on the socket; end: it came to its end. */
void link_socket_event(struct transport_link *link, bool end);
void link_hup(struct transport_link *link);
void link_fail(struct transport_link *link, int status);
bool link_linger(struct transport_link *link);
void link_free(struct transport_link *link);
int link_send(struct transport_link *link, const void *data, size_t len, int fd);
/* Errors: -EAGAIN nothing. */
int link_receive(struct transport_link *link, struct transport_event *ret_event);
/* Is WRITABLE due? */
bool link_writable(struct transport_link *link);

enum watch_kind { WATCH_LISTENER, WATCH_SOCKET, WATCH_PIDFD, WATCH_BELL, WATCH_KINDS };
int watch_add(struct transport *transport, int fd, uint32_t events, struct transport_link *link,
	      enum watch_kind kind);

/* ---- memory.c ---- */

int shm_memory_alloc(size_t len, uint32_t flags, struct transport_memory *ret_memory);
void shm_memory_free(struct transport_memory *memory);
/* A sealed, allocated memfd for a channel, mapped. Errors: -EMFILE, -ENOMEM. */
int shm_channel_create(int *ret_fd, void **ret_memory);
/* The peer's. Errors: -EPROTO wrong size or seals, -ENOMEM. */
int shm_channel_map(int fd, void **ret_memory);

#endif
