/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_random.c -- random jobs: [FIRST [COUNT]] seeds; what a job does follows from its seed
 *
 * Random nodes do random things while others are stopped, die and start again. At every step, for
 * each import of a living node whose home lives:
 *   1. if its mapping reaches the home's memory, the home has a record of it
 *   2. no record has a grant that a revoke has ended with 0
 *   3. nobody who lives is called lost
 * For each access that is served: its grant has not been ended so, has the right, and holds the range.
 * At the end: each region's counter is the sum of the adds that succeeded, but for those whose
 * outcome nobody was told; every region can be withdrawn, and then nothing reaches it.
 */
#include "proto_sim.h"

#include "addrmap/addr.h"
#include "addrmap/rights.h"
#include "addrmap/token.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if defined(FARBUS_SANITIZE)
#define SEEDS(n) ((n) / 8 + 1)
#else
#define SEEDS(n) (n)
#endif

#define PAGE 4096u
#define LEN (4 * PAGE)
#define COUNTER (LEN - 8) /* every grant covers it */
#define STEPS 150
#define TOKEN_MAX 128
#define REVOKE_MAX 256
#define ADD_MAX 2048
#define NAME_COUNT 4

struct job_token {
	struct farbus_token text;
	struct token is;
	uint32_t home;	 /* node */
	uint32_t maker;	 /* node */
	uint32_t parent; /* grant, 0: none */
};

struct job_add { /* served, under way */
	struct ask *ask;
	uint32_t home;
	uint64_t region;
};

struct job_revoke {
	struct ask *ask;
	uint32_t token;
};

struct job_region {
	uint32_t home;
	uint64_t region;
	uint64_t done, unknown; /* adds */
	bool withdrawn;
};

struct ended {
	uint32_t home, grant, epoch; /* epoch 0: all */
};

struct job {
	struct net *net;
	uint32_t size;
	struct job_token token[TOKEN_MAX];
	uint32_t token_count;
	struct job_add add[ADD_MAX];
	uint32_t add_count;
	struct job_revoke revoke[REVOKE_MAX];
	uint32_t revoke_count;
	struct job_region region[NET_REGION_MAX];
	uint32_t region_count;
	struct ended ended[REVOKE_MAX];
	uint32_t ended_count;
	struct ask *asked[ADD_MAX];
	uint32_t asked_count, asked_token[ADD_MAX];
};

static uint64_t below(struct job *job, uint64_t limit)
{
	return net_random(job->net, limit);
}

static uint32_t node_count(struct job *job)
{
	uint32_t count = 0;

	while (count < NET_NODE_MAX - 2 && net_node_there(job->net, count))
		count++;
	return count;
}

/* A node that can do something; NET_NODE_MAX: none. */
static uint32_t node_any(struct job *job)
{
	uint32_t count = node_count(job), first = (uint32_t)below(job, count);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t node = (first + i) % count;

		if (net_alive(job->net, node) && !net_node(job->net, node)->stopped)
			return node;
	}
	return NET_NODE_MAX;
}

static uint32_t timeout(struct job *job)
{
	static const uint32_t ms[] = { 1, 5, 20, 60, 200 };

	return ms[below(job, 5)];
}

/* ---- what has to be true ---- */

static struct job_region *region_at(struct job *job, uint32_t home, uint64_t region)
{
	for (uint32_t i = 0; i < job->region_count; i++)
		if (job->region[i].home == home && job->region[i].region == region)
			return &job->region[i];
	return NULL;
}

static uint32_t parent_of(const struct job *job, uint32_t home, uint32_t grant)
{
	for (uint32_t i = 0; i < job->token_count; i++)
		if (job->token[i].home == home && job->token[i].is.grant == grant)
			return job->token[i].parent;
	return 0;
}

static bool is_ended(const struct job *job, uint32_t home, uint32_t grant, uint32_t epoch)
{
	for (; grant; grant = parent_of(job, home, grant), epoch = 0)
		for (uint32_t i = 0; i < job->ended_count; i++) {
			const struct ended *ended = &job->ended[i];

			if (ended->home == home && ended->grant == grant &&
			    (ended->epoch == 0 || ended->epoch == epoch))
				return true;
		}
	return false;
}

static uint32_t home_of(struct job *job, const struct import_entry *entry)
{
	for (uint32_t node = 0; node < node_count(job); node++)
		if (net_alive(job->net, node) &&
		    net_node(job->net, node)->instance == entry->home_instance)
			return node;
	return NET_NODE_MAX;
}

static void import_check_one(struct job *job, uint32_t node, uint32_t index)
{
	struct export_table *exports;
	struct export_import record;
	struct import_entry entry;
	uint32_t home;

	EXPECT(import_lookup(core_imports(net_node(job->net, node)->core), index, &entry) == 0);
	home = home_of(job, &entry);
	if (home == NET_NODE_MAX)
		return;
	exports = core_exports(net_node(job->net, home)->core);
	if (export_import_lookup(exports, entry.remote, &record) < 0) {
		EXPECT(!net_reaches(job->net, node, index, home));
		return;
	}
	EXPECT(record.instance == net_node(job->net, node)->instance);
	EXPECT(!is_ended(job, home, record.grant, record.epoch));
}

static void revokes_look(struct job *job)
{
	for (uint32_t i = 0; i < job->revoke_count;) {
		struct job_revoke *revoke = &job->revoke[i];
		const struct job_token *token = &job->token[revoke->token];
		struct export_grant grant;

		if (!revoke->ask->done) {
			i++;
			continue;
		}
		if (revoke->ask->status == 0 && net_alive(job->net, token->home)) {
			/* All of it has ended if it is forgotten; else one of its epochs. */
			bool there = export_grant_lookup(
					     core_exports(net_node(job->net, token->home)->core),
					     token->is.grant, &grant) == 0;

			EXPECT(job->ended_count < REVOKE_MAX);
			job->ended[job->ended_count++] =
				(struct ended){ .home = token->home,
						.grant = token->is.grant,
						.epoch = there ? token->is.epoch : 0 };
		}
		*revoke = job->revoke[--job->revoke_count];
	}
}

static void adds_look(struct job *job)
{
	for (uint32_t i = 0; i < job->add_count;) {
		struct job_add *add = &job->add[i];
		struct job_region *region = region_at(job, add->home, add->region);

		if (!add->ask->done) {
			i++;
			continue;
		}
		EXPECT(region);
		region->done += add->ask->status == 0;
		region->unknown += add->ask->status == -ETIMEDOUT ||
				   add->ask->status == -EHOSTDOWN || add->ask->status == -ECANCELED;
		*add = job->add[--job->add_count];
	}
}

/* Whom an event calls lost has ended: nobody is cut off for being stopped, or for what others do. */
static void events_look(struct job *job, uint32_t node)
{
	const struct net_node *at = net_node(job->net, node);

	for (size_t i = 0; i < at->event_count; i++)
		for (uint32_t k = 0; k < node_count(job); k++)
			EXPECT(at->event[i].kind != FARBUS_EVENT_PEER_LOST ||
			       at->event[i].instance != net_node(job->net, k)->instance ||
			       !net_alive(job->net, k));
}

static void job_look(struct job *job)
{
	revokes_look(job);
	adds_look(job);
	for (uint32_t node = 0; node < node_count(job); node++) {
		if (!net_alive(job->net, node))
			continue;
		events_look(job, node);
		for (uint32_t i = 1; i < net_node(job->net, node)->import_count; i++)
			if (net_import_at(job->net, node, i))
				import_check_one(job, node, i);
	}
}

/* The first 8 bytes of each put are the number of its token, and of its request. */
static void served(void *arg, uint32_t node, const struct core_output *output)
{
	struct job *job = arg;
	const struct job_token *token;
	uint32_t number;

	if (output->serve.op != CORE_SERVE_PUT)
		return;
	memcpy(&number, output->serve.data, sizeof(number));
	EXPECT(number < job->token_count);
	token = &job->token[number];
	EXPECT(token->home == node);
	EXPECT(token->is.rights & FARBUS_W);
	EXPECT(output->region == token->is.region);
	EXPECT(output->serve.off >= token->is.off);
	EXPECT(addr_within(output->serve.off - token->is.off, output->serve.len, token->is.len));
	/* Its epoch may have been renewed since: that is seen by its record. */
	EXPECT(!is_ended(job, node, token->is.grant, 0));
}

/* ---- what nodes do ---- */

static void token_add(struct job *job, const struct farbus_token *text, uint32_t home,
		      uint32_t maker, uint32_t parent)
{
	struct job_token *token = &job->token[job->token_count];

	if (job->token_count == TOKEN_MAX)
		return;
	*token =
		(struct job_token){ .text = *text, .home = home, .maker = maker, .parent = parent };
	EXPECT(token_parse(text, &token->is) == 0);
	job->token_count++;
}

static uint32_t rights_any(struct job *job)
{
	static const uint32_t rights[] = {
		FARBUS_R,
		FARBUS_R | FARBUS_W,
		FARBUS_R | FARBUS_W | FARBUS_A,
		FARBUS_R | FARBUS_W | FARBUS_A | FARBUS_G,
		FARBUS_R | FARBUS_W | FARBUS_A | FARBUS_G,
	};

	return rights[below(job, 5)];
}

static void do_grant(struct job *job, uint32_t node)
{
	struct job_region *region = NULL;
	struct farbus_token token;
	uint64_t off;

	for (uint32_t i = 0; i < job->region_count && below(job, 3); i++)
		if (job->region[i].home == node && !job->region[i].withdrawn)
			region = &job->region[i];
	if (!region && job->region_count < NET_REGION_MAX &&
	    net_node(job->net, node)->region_count < NET_REGION_MAX) {
		region = &job->region[job->region_count++];
		*region = (struct job_region){ .home = node };
		region->region = net_region(job->net, node, LEN, NET_MAPPABLE);
		EXPECT(region->region);
	}
	if (!region)
		return;
	off = below(job, 4) * PAGE + (below(job, 4) ? 0 : 8);
	if (net_grant(job->net, node, region->region, off, LEN - off, rights_any(job),
		      below(job, 2) ? 0 : FARBUS_GRANT_SERVED, &token) == 0)
		token_add(job, &token, node, node, 0);
}

static void do_import(struct job *job, uint32_t node)
{
	if (job->token_count)
		net_import(job->net, node, &job->token[below(job, job->token_count)].text,
			   timeout(job));
}

/* An import of this node, and by which token; 0: none. */
static uint32_t import_any(struct job *job, uint32_t node, uint32_t *ret_token)
{
	uint32_t count = net_node(job->net, node)->import_count, first;
	const struct net_import *import;

	if (count < 2)
		return 0;
	first = (uint32_t)below(job, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = (first + i) % count;

		import = index ? net_import_at(job->net, node, index) : NULL;
		for (uint32_t t = 0; import && t < job->token_count; t++)
			if (job->token[t].is.region == import->region &&
			    job->token[t].is.grant == import->grant) {
				*ret_token = t;
				return index;
			}
	}
	return 0;
}

static void do_chain(struct job *job, uint32_t node)
{
	uint32_t token = 0, index = import_any(job, node, &token);
	struct ask *ask;
	uint64_t len, off;

	if (!index || job->asked_count == ADD_MAX)
		return;
	len = job->token[token].is.len;
	off = below(job, len / 16) * 8;
	ask = net_chain(job->net, node, index, off, len - off, rights_any(job), 0, 0, timeout(job));
	job->asked_token[job->asked_count] = token;
	job->asked[job->asked_count++] = ask;
}

static void chains_look(struct job *job)
{
	for (uint32_t i = 0; i < job->asked_count;) {
		struct ask *ask = job->asked[i];
		const struct job_token *token = &job->token[job->asked_token[i]];

		if (!ask->done) {
			i++;
			continue;
		}
		if (ask->status == 0)
			token_add(job, &ask->token, token->home, ask->node, token->is.grant);
		job->asked[i] = job->asked[--job->asked_count];
		job->asked_token[i] = job->asked_token[job->asked_count];
	}
}

static void do_revoke(struct job *job, uint32_t node)
{
	uint32_t token;

	if (!job->token_count || job->revoke_count == REVOKE_MAX ||
	    job->ended_count + job->revoke_count >= REVOKE_MAX)
		return;
	token = (uint32_t)below(job, job->token_count);
	if (below(job, 4) && net_alive(job->net, job->token[token].maker) &&
	    !net_node(job->net, job->token[token].maker)->stopped)
		node = job->token[token].maker;
	job->revoke[job->revoke_count++] = (struct job_revoke){
		.ask = net_revoke(job->net, node, &job->token[token].text, below(job, 2),
				  timeout(job)),
		.token = token,
	};
}

static void do_rotate(struct job *job, uint32_t node)
{
	const struct job_token *token;
	struct farbus_token next;

	if (!job->token_count)
		return;
	token = &job->token[below(job, job->token_count)];
	node = token->home;
	if (!net_alive(job->net, node) || net_node(job->net, node)->stopped)
		return;
	if (net_rotate(job->net, node, &token->text, &next) == 0)
		token_add(job, &next, node, token->maker, token->parent);
}

static void do_renew(struct job *job, uint32_t node)
{
	uint32_t token = 0, index = import_any(job, node, &token);

	for (uint32_t i = 0; index && i < job->token_count; i++)
		if (job->token[i].is.region == job->token[token].is.region &&
		    job->token[i].is.grant == job->token[token].is.grant && below(job, 2))
			token = i;
	if (index)
		net_renew(job->net, node, index, &job->token[token].text, timeout(job));
}

static void do_put(struct job *job, uint32_t node)
{
	uint32_t token = 0, index = import_any(job, node, &token);
	uint64_t data[64] = { 0 };
	size_t len = 8 + below(job, sizeof(data) - 8);
	uint64_t off;

	if (!index)
		return;
	memcpy(data, &token, sizeof(token));
	off = below(job, job->token[token].is.len + 64);
	/* The counter is for adds, and for puts that go past the end. */
	if (off < job->token[token].is.len && off + len > job->token[token].is.len - 8)
		off = 0;
	net_put(job->net, node, index, off, data, len, timeout(job));
}

static void do_add(struct job *job, uint32_t node)
{
	uint32_t token = 0, index = import_any(job, node, &token);
	const struct job_token *at = &job->token[token];
	struct job_region *region;
	uint64_t off;

	if (!index)
		return;
	region = region_at(job, at->home, at->is.region);
	off = COUNTER - at->is.off;
	EXPECT(region);
	if (net_import_at(job->net, node, index)->fd >= 0) {
		region->done += net_add(job->net, node, index, off, 1) == 0;
	} else if (job->add_count < ADD_MAX) {
		job->add[job->add_count++] = (struct job_add){
			.ask = net_atomic(job->net, node, index, off, FARBUS_ADD, 1, timeout(job)),
			.home = at->home,
			.region = at->is.region,
		};
	}
}

static void do_release(struct job *job, uint32_t node)
{
	uint32_t token = 0, index = import_any(job, node, &token);

	if (index)
		net_release(job->net, node, index);
}

/* Its key may be good, or ask the home why not. */
static void do_exposed(struct job *job, uint32_t node)
{
	uint32_t token = 0, index = import_any(job, node, &token);

	if (index && net_store_exposed(job->net, node, index, 0, 1) < 0)
		net_rekey(job->net, node, index, timeout(job));
}

static void do_withdraw(struct job *job, uint32_t node)
{
	for (uint32_t i = 0; i < job->region_count; i++)
		if (job->region[i].home == node && below(job, 2)) {
			job->region[i].withdrawn = true;
			net_withdraw(job->net, node, job->region[i].region, below(job, 2),
				     timeout(job));
			return;
		}
}

static void do_name(struct job *job, uint32_t node)
{
	char name[16];

	snprintf(name, sizeof(name), "name %u", (unsigned)below(job, NAME_COUNT));
	if (below(job, 2) || !job->token_count)
		net_lookup(job->net, node, name, below(job, 3) ? timeout(job) : 0);
	else
		net_publish(job->net, node, name, &job->token[0].text, timeout(job));
}

static void do_meet(struct job *job, uint32_t node)
{
	(void)node;
	for (uint32_t i = 0; i < node_count(job); i++)
		if (net_alive(job->net, i) && !net_node(job->net, i)->stopped && below(job, 50))
			net_barrier(job->net, i, timeout(job));
}

static void do_stop(struct job *job, uint32_t node)
{
	net_stop(job->net, node);
}

static void do_continue(struct job *job, uint32_t node)
{
	(void)node;
	for (uint32_t i = 0; i < node_count(job); i++)
		if (net_alive(job->net, i) && net_node(job->net, i)->stopped && below(job, 2))
			net_continue(job->net, i);
}

static void do_die(struct job *job, uint32_t node)
{
	uint32_t rank = net_node(job->net, node)->rank;

	if (below(job, 3) || rank == 0)
		return;
	if (below(job, 2)) {
		net_kill(job->net, node);
	} else {
		sim_kill_at(net_sim(job->net), node, 1 + below(job, 20));
		return;
	}
	if (below(job, 2) && node_count(job) < NET_NODE_MAX - 3) {
		EXPECT(net_start(job->net, &(struct net_node_conf){ .rank = rank }, &node) == 0);
		net_join(job->net, node, timeout(job));
	}
}

static const struct {
	void (*run)(struct job *job, uint32_t node);
	unsigned weight;
} acts[] = {
	{ do_grant, 10 },  { do_import, 20 },  { do_chain, 6 },	   { do_revoke, 10 },
	{ do_rotate, 4 },  { do_renew, 5 },    { do_put, 20 },	   { do_add, 30 },
	{ do_release, 6 }, { do_withdraw, 1 }, { do_exposed, 6 },  { do_name, 5 },
	{ do_meet, 2 },	   { do_stop, 8 },     { do_continue, 5 }, { do_die, 3 },
};

static void job_act(struct job *job)
{
	uint32_t node = node_any(job);
	unsigned sum = 0, pick;

	if (node == NET_NODE_MAX) {
		do_continue(job, 0);
		return;
	}
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		sum += acts[i].weight;
	pick = (unsigned)below(job, sum);
	for (size_t i = 0;; i++) {
		if (pick < acts[i].weight) {
			acts[i].run(job, node);
			return;
		}
		pick -= acts[i].weight;
	}
}

/* ---- a job ---- */

static struct net *job_net(uint64_t seed)
{
	struct net_conf conf = { .seed = seed, .size = 2 + (uint32_t)(seed % 4) };
	struct net *net;
	uint32_t node;

	if (seed % 3 == 1)
		conf.work_delay_max_ns = NS_PER_MS / 2;
	conf.one_sided = seed % 5 == 2;
	net = net_new(&conf);
	for (uint32_t rank = 0; rank < conf.size; rank++)
		EXPECT(net_start(net, &(struct net_node_conf){ .rank = rank }, &node) == 0);
	for (uint32_t rank = 0; rank < conf.size; rank++)
		net_join(net, rank, 100);
	return net;
}

static void job_end(struct job *job)
{
	for (uint32_t i = 0; i < node_count(job); i++)
		sim_kill_at(net_sim(job->net), i, 0);
	for (uint32_t i = 0; i < node_count(job); i++)
		if (net_alive(job->net, i) && net_node(job->net, i)->stopped)
			net_continue(job->net, i);
	net_run(job->net);
	chains_look(job);
	job_look(job);
	for (uint32_t i = 0; i < job->region_count; i++) {
		struct job_region *region = &job->region[i];
		struct export_region is;
		uint64_t sum;
		int err;

		if (!net_alive(job->net, region->home))
			continue;
		sum = net_word(job->net, region->home, region->region, COUNTER);
		EXPECT(sum >= region->done);
		EXPECT(sum <= region->done + region->unknown);
		err = net_wait(job->net,
			       net_withdraw(job->net, region->home, region->region, false, 100));
		EXPECT(err == 0 || (err == -ENOENT && region->withdrawn));
		EXPECT(export_region_lookup(core_exports(net_node(job->net, region->home)->core),
					    region->region, &is) == -ENOENT);
	}
	net_run(job->net);
	job_look(job);
}

static uint64_t job_run(uint64_t seed)
{
	struct job *job = calloc(1, sizeof(*job));
	uint64_t digest;

	EXPECT(job);
	job->net = job_net(seed);
	net_on_serve(job->net, served, job);
	for (int i = 0; i < STEPS; i++) {
		job_act(job);
		net_run_for(job->net, 1 + below(job, below(job, 10) ? 200000 : 20000000));
		chains_look(job);
		job_look(job);
	}
	job_end(job);
	digest = sim_digest(net_sim(job->net));
	net_free(job->net, true);
	free(job);
	return digest;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : argc > 1 ? 1 : SEEDS(300);

	for (uint64_t seed = first; seed < first + count; seed++) {
		uint64_t digest = job_run(seed);

		/* Nothing but the seed may matter. */
		if (seed % 50 == 1)
			EXPECT(job_run(seed) == digest);
	}
	printf("seeds %llu to %llu\n", (unsigned long long)first,
	       (unsigned long long)(first + count - 1));
	return 0;
}
