/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_sim.c -- the loop: events of the simulated network into cores, their outputs back
 *
 * Invariant: a node's timer in the simulation is the earlier of its core's and its next work's.
 */
#include "proto_sim_private.h"

#include "base/alloc.h"
#include "base/mac.h"
#include "transport/transport.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STRANGER_FIRST 0x80000000u /* the simulation's own numbers end below */

static struct net *current; /* for the message of a failure */

/* Not async-signal-safe, and need not be: the signal is abort()'s, in a place we know. */
static void abort_seen(int signal)
{
	char line[128];
	int n = snprintf(line, sizeof(line),
			 "proto_sim: seed %" PRIu64 ", virtual time %" PRIu64 "\n",
			 current ? current->conf.seed : 0, current ? sim_now(current->sim) : 0);
	ssize_t written = write(STDERR_FILENO, line, (size_t)n);

	(void)signal;
	(void)written;
}

void net_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

void net_expect_int(long long is, long long wanted, const char *what, const char *file, int line)
{
	if (is == wanted)
		return;
	fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, what, is, wanted);
	abort();
}

void *net_grow(void *array, size_t count, size_t size)
{
	/* Powers of two only: most calls return what there is. */
	if (count == 0 || (count & (count - 1)) == 0) {
		array = realloc(array, (count ? count * 2 : 1) * size);
		EXPECT(array);
	}
	memset((char *)array + count * size, 0, size);
	return array;
}

uint64_t net_random(struct net *net, uint64_t limit)
{
	uint64_t x = net->random += 0x9e3779b97f4a7c15; /* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) % limit;
}

struct net *net_new(const struct net_conf *conf)
{
	struct sigaction action = { .sa_handler = abort_seen };
	struct net *net = calloc(1, sizeof(*net));

	EXPECT(mac_init() == 0);
	EXPECT(net);
	EXPECT(conf->size <= NET_NODE_MAX);
	sigaction(SIGABRT, &action, NULL);
	net->conf = *conf;
	net->random = conf->seed;
	net->stranger = NET_NOBODY;
	EXPECT(sim_new(conf->seed, NET_NODE_MAX, &net->sim) == 0);
	for (uint32_t rank = 0; rank < NET_NODE_MAX; rank++)
		net->rank_node[rank] = NET_NOBODY;
	current = net;
	return net;
}

static void links_dead(struct net *net, uint32_t number);

static void node_end(struct net *net, uint32_t number)
{
	struct net_node *node = &net->node[number];

	node->core = core_free(node->core);
	links_dead(net, number);
	asks_cancel(net, number);
	free(node->import);
	free(node->work);
	node->import = NULL;
	node->import_count = 0;
	node->work = NULL;
	node->work_count = 0;
}

void net_free(struct net *net, bool checks)
{
	struct ask *ask;

	if (checks)
		net_run(net);
	for (ask = net->asks; checks && ask; ask = ask->next)
		EXPECT(ask->done);
	for (uint32_t i = 0; i < net->node_count; i++) {
		if (checks && net->node[i].core)
			node_memory_check(net, i);
		node_end(net, i);
		free(net->node[i].event);
	}
	while ((ask = net->asks)) {
		net->asks = ask->next;
		free(ask->data);
		free(ask);
	}
	for (uint32_t i = 0; i < net->memory_count; i++)
		free(net->memory[i].bytes);
	free(net->memory);
	free(net->fd);
	free(net->exposed);
	free(net->link);
	sim_free(net->sim);
	free(net);
	current = NULL;
}

struct net *net_joined(uint64_t seed, uint32_t size)
{
	struct net *net = net_new(&(struct net_conf){ .seed = seed, .size = size });
	uint32_t node;

	for (uint32_t rank = 0; rank < size; rank++) {
		EXPECT(net_start(net, &(struct net_node_conf){ .rank = rank }, &node) == 0);
		EXPECT(node == rank);
	}
	for (uint32_t rank = 0; rank < size; rank++)
		EXPECT_INT(net_wait(net, net_join(net, rank, 1000)), 0);
	return net;
}

struct sim *net_sim(struct net *net)
{
	return net->sim;
}

struct net_node *net_node(struct net *net, uint32_t node)
{
	EXPECT(node < net->node_count);
	return &net->node[node];
}

uint64_t net_now(const struct net *net)
{
	return sim_now(net->sim);
}

void net_on_send(struct net *net, net_send_fn fn, void *arg)
{
	net->on_send = fn;
	net->on_send_arg = arg;
}

void net_on_serve(struct net *net, net_serve_fn fn, void *arg)
{
	net->on_serve = fn;
	net->on_serve_arg = arg;
}

/* ---- nodes ---- */

int net_start(struct net *net, const struct net_node_conf *conf, uint32_t *ret_node)
{
	uint32_t number = net->node_count;
	struct net_node *node = &net->node[number];
	struct core_conf core = {
		.job = conf->job ? conf->job : NET_JOB,
		.rank = conf->rank,
		.size = conf->size ? conf->size : net->conf.size,
		.instance = conf->instance ? conf->instance : number << 16 | 0x100 | conf->rank,
		.incarnation = (uint32_t)net_random(net, UINT32_MAX),
		.auth_timeout_ns = net->conf.auth_timeout_ns ? net->conf.auth_timeout_ns : NS_PER_S,
		.host_mappable = !net->conf.unmappable,
	};
	int err;

	EXPECT(number < NET_NODE_MAX);
	memset(core.secret, conf->other_secret ? 0x5a : 0xa5, sizeof(core.secret));
	for (size_t i = 0; i < sizeof(core.random); i++)
		core.random[i] = (uint8_t)net_random(net, 256);
	err = core_new(&core, &node->core);
	if (err < 0)
		return err;
	node->rank = conf->rank;
	node->instance = core.instance;
	node->incarnation = core.incarnation;
	net->node_count++;
	net->rank_node[conf->rank] = number;
	*ret_node = number;
	return 0;
}

bool net_alive(struct net *net, uint32_t node)
{
	return node < net->node_count && net->node[node].core;
}

bool net_node_there(struct net *net, uint32_t node)
{
	return node < net->node_count;
}

void net_kill(struct net *net, uint32_t node)
{
	if (!net_alive(net, node))
		return;
	sim_kill(net->sim, node);
	node_end(net, node);
}

void net_stop(struct net *net, uint32_t node)
{
	net->node[node].stopped = true;
	sim_stop(net->sim, node);
}

void net_continue(struct net *net, uint32_t node)
{
	net->node[node].stopped = false;
	net->node[node].continued_at = net_now(net);
	sim_continue(net->sim, node);
}

/* ---- outputs ---- */

static void stranger_gets(struct net *net, const void *data, uint64_t len)
{
	if (net->stranger_len + sizeof(len) + len > sizeof(net->stranger_data))
		return;
	memcpy(net->stranger_data + net->stranger_len, &len, sizeof(len));
	memcpy(net->stranger_data + net->stranger_len + sizeof(len), data, len);
	net->stranger_len += sizeof(len) + len;
}

static void output_send(struct net *net, uint32_t node, const struct core_output *output)
{
	uint8_t data[CORE_MESSAGE_MAX];
	int fd = -1;

	size_t len = output->len + output->tail_len;

	EXPECT(len <= sizeof(data));
	memcpy(data, output->data, output->len);
	if (output->tail_len)
		memcpy(data + output->len, output->tail, output->tail_len);
	if (output->link >= STRANGER_FIRST) {
		if (output->link == net->stranger)
			stranger_gets(net, data, len);
		return;
	}
	if (net->on_send)
		net->on_send(net->on_send_arg, node, data, len);
	if (output->region)
		fd = region_fd(net, node, output->region, NET_NOBODY);
	sim_send(net->sim, node, output->link, data, len, fd);
}

static void output_connect(struct net *net, uint32_t node, uint32_t rank)
{
	uint32_t to = rank < NET_NODE_MAX ? net->rank_node[rank] : NET_NOBODY;
	uint32_t link;
	int err = to == NET_NOBODY || to == node ? -ECONNREFUSED :
						   sim_connect(net->sim, node, to, &link);

	if (err < 0) {
		core_connect_failed(net->node[node].core, rank, err, net_now(net));
		return;
	}
	EXPECT(link == net->link_count);
	net->link = net_grow(net->link, net->link_count, sizeof(*net->link));
	net->link[net->link_count++] = (struct net_link){ .from = node, .to = to };
}

static void output_event(struct net_node *node, const struct farbus_event *event)
{
	node->event = net_grow(node->event, node->event_count, sizeof(*event));
	node->event[node->event_count++] = *event;
}

/*
 * A core is told that nobody has the other end any more when that end has done what its own core
 * asked for, or is dead: what it had mapped is out of reach then. One that is stopped learns it later.
 */
static void link_gone_due(struct net *net, struct net_link *link, int end)
{
	if (!link->ended[end] || link->gone_told[end])
		return;
	link->gone_due[end] = link->gone_told[end] = true;
	net->gone_due++;
}

static void link_end(struct net *net, uint32_t number, uint32_t link)
{
	struct net_link *is = &net->link[link];
	int end = is->to == number;

	is->ended[end] = true;
	if (is->ended[!end] || !net_alive(net, end ? is->from : is->to))
		link_gone_due(net, is, end);
	link_gone_due(net, is, !end); /* if that one has ended */
}

static void links_dead(struct net *net, uint32_t number)
{
	for (uint32_t i = 0; i < net->link_count; i++)
		if (net->link[i].from == number || net->link[i].to == number)
			link_gone_due(net, &net->link[i], net->link[i].from == number);
}

static void links_gone(struct net *net)
{
	for (uint32_t i = 0; net->gone_due && i < net->link_count; i++)
		for (int end = 0; end < 2; end++) {
			struct net_link *link = &net->link[i];
			uint32_t number = end ? link->to : link->from;

			if (!link->gone_due[end] || net->node[number].stopped)
				continue;
			link->gone_due[end] = false;
			net->gone_due--;
			if (!net_alive(net, number))
				continue;
			core_link_gone(net->node[number].core, i, net_now(net));
			node_finish(net, number);
		}
	for (uint32_t node = 0; node < net->node_count; node++)
		net_reach_check(net, node);
}

static void link_close(struct net *net, uint32_t number, uint32_t link)
{
	sim_close(net->sim, number, link);
	link_end(net, number, link);
}

static void output_run(struct net *net, uint32_t number, const struct core_output *output)
{
	struct net_node *node = &net->node[number];

	switch (output->kind) {
	case CORE_SEND:
		output_send(net, number, output);
		break;
	case CORE_CONNECT:
		output_connect(net, number, output->rank);
		break;
	case CORE_CLOSE:
		if (output->link < STRANGER_FIRST)
			link_close(net, number, output->link);
		else if (output->link == net->stranger)
			net->stranger_closed = true;
		break;
	case CORE_DONE:
		ask_done(net, number, output);
		break;
	case CORE_EVENT:
		output_event(node, &output->event);
		break;
	case CORE_WORK:
		work_take(net, number, output);
		break;
	case CORE_FD:
		fd_close(net, number, output->fd);
		break;
	case CORE_ABORT:
		node->aborted = true;
		node->abort_code = output->status;
		break;
	}
}

/* Returns how many there were; -1: the node died of a message it sent. */
static int outputs_run(struct net *net, uint32_t number)
{
	struct core_output output;
	int count = 0;

	while (core_output(net->node[number].core, &output)) {
		output_run(net, number, &output);
		if (!sim_alive(net->sim, number))
			return -1;
		count++;
	}
	return count;
}

void node_finish(struct net *net, uint32_t number)
{
	struct net_node *node = &net->node[number];
	uint64_t next, work;
	int count;

	if (outputs_run(net, number) < 0)
		return;
	/* What an output asks for may have a deadline of its own: the core is asked again. */
	do {
		works_run(net, number);
		next = core_step(node->core, net_now(net));
		count = outputs_run(net, number);
		if (count < 0)
			return;
		work = works_next(node);
	} while (count > 0 || work <= net_now(net));
	EXPECT(sim_timer(net->sim, number, next < work ? next : work) == 0);
	core_check(node->core);
	node_exposed_check(net, number);
}

/* ---- events ---- */

static void event_down(struct net *net, const struct sim_event *event)
{
	struct net_node *node = &net->node[event->node];
	const struct net_link *link = &net->link[event->link];

	if (link->from == event->node && !link->up) {
		core_connect_failed(node->core, net->node[link->to].rank, event->status,
				    net_now(net));
		return;
	}
	core_link_down(node->core, event->link, event->status, net_now(net));
	if (outputs_run(net, event->node) >= 0)
		link_end(net, event->node, event->link);
}

static void event_up(struct net *net, const struct sim_event *event)
{
	struct core *core = net->node[event->node].core;

	if (!event->accepted)
		net->link[event->link].up = true;
	core_link_up(core, event->link, event->accepted ? UINT32_MAX : net->node[event->peer].rank,
		     !net->conf.one_sided, net_now(net));
	core_link_traits_set(core, event->link, TRANSPORT_MESSAGE_MAX, net->conf.one_sided);
}

/* Every other message that may goes to its place, as over a transport that can do that. */
static void deliver(struct net *net, const struct sim_event *event)
{
	struct core *core = net->node[event->node].core;
	_Alignas(8) uint8_t head[CORE_PLACE_HEAD];
	struct core_place place;

	net->placed = NULL;
	if (event->fd < 0 && event->len >= sizeof(head) && net->deliver_count++ % 2 == 0) {
		memcpy(head, event->data, sizeof(head));
		if (core_place(core, event->link, head, event->len, &place)) {
			net->placed = (const uint8_t *)event->data + place.skip;
			if (place.region)
				net_place(net, event->node, &place, event->len - place.skip);
			core_receive_placed(core, event->link, head, event->len, false,
					    net_now(net));
			return;
		}
	}
	core_receive(core, event->link, event->data, event->len, event->fd, net_now(net));
}

static void event_run(struct net *net, const struct sim_event *event)
{
	struct net_node *node = &net->node[event->node];

	core_wall_set(node->core, NET_WALL_START + net_now(net) / NS_PER_S);
	switch (event->kind) {
	case SIM_UP:
		event_up(net, event);
		break;
	case SIM_DOWN:
		event_down(net, event);
		break;
	case SIM_DELIVER:
		if (event->fd >= 0)
			net->fd[event->fd].owner = event->node;
		deliver(net, event);
		break;
	case SIM_TIMER: /* node_finish() looks what is due */
	case SIM_DIED:
		break;
	}
}

bool net_step(struct net *net)
{
	struct sim_event event;

	if (sim_step(net->sim, &event) < 0)
		return false;
	if (event.kind == SIM_DIED) {
		node_end(net, event.node);
		links_gone(net);
		return true;
	}
	event_run(net, &event);
	node_finish(net, event.node);
	links_gone(net);
	return true;
}

void net_run(struct net *net)
{
	while (net_step(net))
		;
}

/* Time stands still when nothing happens: a timer of nobody's is what ends it. */
void net_run_for(struct net *net, uint64_t ns)
{
	uint64_t until = net_now(net) + ns;

	EXPECT(sim_timer(net->sim, NET_NODE_MAX - 1, until) == 0);
	EXPECT(net->node_count < NET_NODE_MAX);
	while (net_now(net) < until) {
		struct sim_event event;

		EXPECT(sim_step(net->sim, &event) == 0);
		if (event.node == NET_NODE_MAX - 1)
			return;
		if (event.kind == SIM_DIED) {
			node_end(net, event.node);
			links_gone(net);
			continue;
		}
		event_run(net, &event);
		node_finish(net, event.node);
		links_gone(net);
	}
}

int net_wait(struct net *net, struct ask *ask)
{
	while (!ask->done && net_step(net))
		;
	EXPECT(ask->done);
	return ask->status;
}

/* ---- from outside ---- */

uint32_t net_stranger(struct net *net, uint32_t node)
{
	net->stranger = STRANGER_FIRST + net->stranger_last++;
	net->stranger_len = 0;
	net->stranger_closed = false;
	core_link_up(net->node[node].core, net->stranger, UINT32_MAX, true, net_now(net));
	node_finish(net, node);
	return net->stranger;
}

size_t net_stranger_take(struct net *net, void *data, size_t size)
{
	uint64_t len;

	if (net->stranger_len == 0)
		return 0;
	memcpy(&len, net->stranger_data, sizeof(len));
	EXPECT(len <= size);
	memcpy(data, net->stranger_data + sizeof(len), len);
	net->stranger_len -= sizeof(len) + len;
	memmove(net->stranger_data, net->stranger_data + sizeof(len) + len, net->stranger_len);
	return len;
}

bool net_stranger_closed(struct net *net)
{
	return net->stranger_closed;
}

void net_inject(struct net *net, uint32_t node, uint32_t link, const void *data, size_t len,
		bool with_fd)
{
	int fd = with_fd && net->memory_count ? fd_open(net, 0, node) : -1;

	core_receive(net->node[node].core, link, data, len, fd, net_now(net));
	node_finish(net, node);
}
