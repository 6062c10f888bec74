/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_sim_memory.c -- region memory as byte arrays, descriptors as numbers, and CORE_WORK on them
 *
 * Invariant: an import of a living node that has a mapping has the descriptor of it, and the node
 * has no other descriptor open; in the end none is suspended (node_memory_check).
 */
#include "proto_sim_private.h"

#include "addrmap/addr.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t memory_new(struct net *net, uint64_t len)
{
	net->memory = net_grow(net->memory, net->memory_count, sizeof(*net->memory));
	net->memory[net->memory_count].bytes = calloc(1, len);
	net->memory[net->memory_count].len = len;
	EXPECT(net->memory[net->memory_count].bytes);
	return net->memory_count++;
}

int fd_open(struct net *net, uint32_t memory, uint32_t owner)
{
	net->fd = net_grow(net->fd, net->fd_count, sizeof(*net->fd));
	net->fd[net->fd_count] = (struct net_fd){ .memory = memory, .owner = owner, .open = true };
	return (int)net->fd_count++;
}

void fd_close(struct net *net, uint32_t node, int fd)
{
	EXPECT(fd >= 0);
	EXPECT((uint32_t)fd < net->fd_count);
	EXPECT(net->fd[fd].open);
	EXPECT(net->fd[fd].owner == node);
	net->fd[fd].open = false;
}

void node_memory_check(struct net *net, uint32_t number)
{
	const struct net_node *node = &net->node[number];

	for (uint32_t i = 0; i < node->import_count; i++)
		EXPECT(node->import[i].state != MAP_SUSPENDED ||
		       node->stopped); /* for ever, with its threads */
	for (uint32_t fd = 0; fd < net->fd_count; fd++) {
		bool mapped = false;

		if (!net->fd[fd].open || net->fd[fd].owner != number)
			continue;
		for (uint32_t i = 0; i < node->import_count; i++)
			mapped = mapped || (node->import[i].state != MAP_NONE &&
					    node->import[i].fd == (int)fd);
		EXPECT(mapped);
	}
}

/* ---- own regions ---- */

struct net_region *net_region_find(struct net *net, uint32_t node, uint64_t region)
{
	struct net_node *at = &net->node[node];

	for (uint32_t i = 0; i < at->region_count; i++)
		if (at->region[i].id == region)
			return &at->region[i];
	return NULL;
}

int region_fd(struct net *net, uint32_t node, uint64_t region, uint32_t owner)
{
	const struct net_region *found = net_region_find(net, node, region);

	return found ? fd_open(net, found->memory, owner) : -1;
}

uint64_t net_region(struct net *net, uint32_t number, uint64_t len, uint32_t flags)
{
	struct net_node *node = &net->node[number];
	struct net_region *region = &node->region[node->region_count];
	struct export_region is = { .len = len };
	struct core_region_facts facts = { .mappable = flags & NET_MAPPABLE,
					   .page_size = ADDR_PAGE_SIZE };

	EXPECT(node->region_count < NET_REGION_MAX);
	is.region = addr_region_id(node->instance, node->region_count + 1);
	for (size_t i = 0; i < sizeof(is.key); i++)
		is.key[i] = (uint8_t)net_random(net, 256);
	if (export_region_insert(core_exports(node->core), &is) < 0)
		return 0;
	if (core_region_facts_set(node->core, is.region, &facts) < 0) {
		export_region_remove(core_exports(node->core), is.region);
		return 0;
	}
	*region = (struct net_region){ .id = is.region, .len = len };
	region->memory = memory_new(net, len);
	node->region_count++;
	return is.region;
}

uint8_t *net_memory(struct net *net, uint32_t node, uint64_t region)
{
	const struct net_region *found = net_region_find(net, node, region);

	EXPECT(found);
	return net->memory[found->memory].bytes;
}

uint64_t net_word(struct net *net, uint32_t node, uint64_t region, uint64_t off)
{
	uint64_t word;

	memcpy(&word, net_memory(net, node, region) + off, sizeof(word));
	return word;
}

int net_grant(struct net *net, uint32_t node, uint64_t region, uint64_t off, uint64_t len,
	      uint32_t rights, uint32_t flags, struct farbus_token *ret_token)
{
	struct export_grant_ask ask = {
		.region = region,
		.off = off,
		.len = len,
		.rights = rights,
		.flags = flags,
	};

	return core_grant(net->node[node].core, region, &ask, ret_token);
}

int net_rotate(struct net *net, uint32_t node, const struct farbus_token *token,
	       struct farbus_token *ret_token)
{
	int err = core_rotate(net->node[node].core, token, ret_token);

	node_finish(net, node);
	return err;
}

/* ---- imports ---- */

struct net_import *net_import_at(struct net *net, uint32_t node, uint32_t import)
{
	struct net_node *at = &net->node[node];

	return at->core && import < at->import_count && at->import[import].state != MAP_NONE ?
		       &at->import[import] :
		       NULL;
}

static void import_key(struct net_import *import, const struct core_output *output)
{
	import->key = 0;
	if (output->key_len == sizeof(import->key))
		memcpy(&import->key, output->key, sizeof(import->key));
}

void import_rekeyed(struct net *net, uint32_t node, uint64_t index,
		    const struct core_output *output)
{
	struct net_import *import = net_import_at(net, node, (uint32_t)index);

	if (import)
		import_key(import, output);
}

void import_made(struct net *net, uint32_t number, const struct core_output *output)
{
	struct net_node *node = &net->node[number];
	struct net_import *import;
	struct import_entry entry;

	EXPECT(import_lookup(core_imports(node->core), output->import, &entry) == 0);
	EXPECT(entry.state == IMPORT_READY || entry.state == IMPORT_LOST);
	while (node->import_count <= output->import) {
		node->import = net_grow(node->import, node->import_count, sizeof(*node->import));
		node->import[node->import_count++].fd = -1;
	}
	import = &node->import[output->import];
	EXPECT(import->state == MAP_NONE);
	*import = (struct net_import){
		.state = MAP_OPEN,
		.fd = output->fd,
		.region = entry.region,
		.off = entry.off,
		.len = entry.len,
		.mem_off = output->mem_off,
		.rights = entry.rights,
		.grant = entry.grant,
		.epoch = entry.epoch,
		.gone = entry.state == IMPORT_LOST,
	};
	import_key(import, output);
	if (output->region)
		import->fd = region_fd(net, number, output->region, number);
	if (import->fd < 0 ||
	    addr_within(import->mem_off, import->len, net->memory[net->fd[import->fd].memory].len))
		return;
	/* What a home says of its descriptor is not believed. */
	EXPECT(net->conf.hostile);
	fd_close(net, number, import->fd);
	import->state = MAP_NONE;
	core_import_release(node->core, output->import, net_now(net));
}

static void mapping_drop(struct net *net, uint32_t node, struct net_import *import)
{
	if (import->fd >= 0)
		fd_close(net, node, import->fd);
	import->fd = -1;
}

void net_release(struct net *net, uint32_t node, uint32_t index)
{
	struct net_import *import = net_import_at(net, node, index);

	if (!import)
		return;
	mapping_drop(net, node, import);
	import->state = MAP_NONE;
	core_import_release(net->node[node].core, index, net_now(net));
	node_finish(net, node);
}

/* The bytes behind a mapping; NULL: none, or SIGBUS. */
static uint8_t *mapping_at(struct net *net, const struct net_import *import, uint64_t off)
{
	struct net_memory *memory;

	if (import->fd < 0 || import->gone)
		return NULL;
	memory = &net->memory[net->fd[import->fd].memory];
	return memory->cut ? NULL : memory->bytes + import->mem_off + off;
}

int net_add(struct net *net, uint32_t node, uint32_t index, uint64_t off, uint64_t value)
{
	struct net_import *import = net_import_at(net, node, index);
	uint64_t word;
	uint8_t *at;

	if (!import)
		return -ENOENT;
	EXPECT(off + 8 <= import->len);
	if (import->state == MAP_DEAD)
		return import->status;
	if (import->state == MAP_SUSPENDED)
		return -EAGAIN;
	if (import->fd < 0)
		return -ENOTSUP;
	if (!(import->rights & FARBUS_A))
		return -EPERM;
	at = mapping_at(net, import, off);
	if (!at)
		return -EFAULT;
	memcpy(&word, at, sizeof(word));
	word += value;
	memcpy(at, &word, sizeof(word));
	return 0;
}

int net_store_raw(struct net *net, uint32_t node, uint32_t index, uint64_t off, uint64_t value)
{
	struct net_import *import = net_import_at(net, node, index);
	uint8_t *at = import ? mapping_at(net, import, off) : NULL;

	if (!at)
		return -EFAULT;
	memcpy(at, &value, sizeof(value));
	return 0;
}

static struct net_exposed *exposed_by(struct net *net, const struct net_import *import)
{
	struct net_exposed *exposed;

	if (!import || import->key == 0 || import->key > net->exposed_count)
		return NULL;
	exposed = &net->exposed[import->key - 1];
	return exposed->live && net->node[exposed->home].core ? exposed : NULL;
}

int net_store_exposed(struct net *net, uint32_t node, uint32_t index, uint64_t off, uint64_t value)
{
	const struct net_exposed *exposed = exposed_by(net, net_import_at(net, node, index));

	if (!exposed || !(exposed->rights & FARBUS_W) ||
	    !addr_within(off, sizeof(value), exposed->len))
		return -EACCES;
	memcpy(net->memory[exposed->memory].bytes + exposed->off + off, &value, sizeof(value));
	return 0;
}

void node_exposed_check(struct net *net, uint32_t node)
{
	const struct net_node *at = &net->node[node];
	struct export_import record;

	for (uint32_t i = 0; i < net->exposed_count; i++)
		if (net->exposed[i].home == node && net->exposed[i].live)
			EXPECT(export_import_lookup(core_exports(at->core), net->exposed[i].record,
						    &record) == 0);
}

bool net_reaches(struct net *net, uint32_t node, uint32_t index, uint32_t home)
{
	const struct net_import *import = net_import_at(net, node, index);
	const struct net_region *region =
		import ? net_region_find(net, home, import->region) : NULL;
	const struct net_exposed *exposed = exposed_by(net, import);

	if (!region)
		return false;
	if (exposed && exposed->memory == region->memory)
		return true;
	return mapping_at(net, import, 0) && region->memory == net->fd[import->fd].memory;
}

static uint32_t instance_node(const struct net *net, uint32_t instance)
{
	for (uint32_t node = 0; node < net->node_count; node++)
		if (net->node[node].core && net->node[node].instance == instance)
			return node;
	return NET_NODE_MAX;
}

/* Whom a home does not count among a region's importers any more reaches nothing of it. */
void net_reach_check(struct net *net, uint32_t node)
{
	const struct net_node *at = &net->node[node];
	struct export_import record;
	struct import_entry entry;

	for (uint32_t i = 0; at->core && i < at->import_count; i++) {
		uint32_t home;

		if (at->import[i].state == MAP_NONE ||
		    import_lookup(core_imports(at->core), i, &entry) < 0)
			continue;
		home = instance_node(net, entry.home_instance);
		if (home != NET_NODE_MAX && export_import_lookup(core_exports(net->node[home].core),
								 entry.remote, &record) < 0)
			EXPECT(!net_reaches(net, node, i, home));
	}
}

/* ---- works ---- */

static void serve_atomic(const struct core_output *output, uint8_t *at, uint64_t *ret_old)
{
	uint64_t old = 0, new;

	memcpy(&old, at, output->serve.width);
	new = old;
	switch (output->serve.atomic) {
	case FARBUS_ADD:
		new = old + output->serve.operand;
		break;
	case FARBUS_AND:
		new = old & output->serve.operand;
		break;
	case FARBUS_OR:
		new = old | output->serve.operand;
		break;
	case FARBUS_XOR:
		new = old ^ output->serve.operand;
		break;
	case FARBUS_SWAP:
		new = output->serve.operand;
		break;
	case FARBUS_CAS:
		new = old == output->serve.compare ? output->serve.operand : old;
		break;
	}
	memcpy(at, &new, output->serve.width);
	*ret_old = old;
}

static void work_serve(struct net *net, uint32_t node, const struct core_output *output)
{
	const struct net_region *region = net_region_find(net, node, output->region);
	uint64_t value = 0;
	uint8_t *at;

	EXPECT(region);
	EXPECT(addr_within(output->serve.off, output->serve.len, region->len));
	if (net->on_serve)
		net->on_serve(net->on_serve_arg, node, output);
	at = net->memory[region->memory].bytes + output->serve.off;
	if (output->serve.op == CORE_SERVE_PUT)
		memcpy(at, output->serve.data, output->serve.len);
	else if (output->serve.op == CORE_SERVE_ATOMIC)
		serve_atomic(output, at, &value);
	core_serve_done(net->node[node].core, output->work, 0,
			output->serve.op == CORE_SERVE_GET ? at : NULL, output->serve.len, value,
			net_now(net));
}

void net_place(struct net *net, uint32_t node, const struct core_place *place, size_t len)
{
	const struct net_region *region = net_region_find(net, node, place->region);
	const struct core_output as = {
		.kind = CORE_WORK,
		.work_kind = CORE_WORK_SERVE,
		.region = place->region,
		.serve = { .op = CORE_SERVE_PUT,
			   .off = place->off,
			   .len = len,
			   .data = net->placed },
	};

	EXPECT(region);
	EXPECT(addr_within(place->off, len, region->len));
	if (net->on_serve)
		net->on_serve(net->on_serve_arg, node, &as);
	memcpy(net->memory[region->memory].bytes + place->off, net->placed, len);
}

static int work_force(struct net *net, struct net_region *region)
{
	uint32_t old, new;

	if (!region)
		return 0;
	if (region->fixed)
		return -ENOTSUP;
	old = region->memory;
	new = memory_new(net, region->len);
	memcpy(net->memory[new].bytes, net->memory[old].bytes, region->len);
	net->memory[old].cut = true;
	region->memory = new;
	return 0;
}

static int work_remap(struct net *net, uint32_t node, struct net_import *import,
		      const struct core_output *output)
{
	int fd = output->region ? region_fd(net, node, output->region, node) : output->fd;

	EXPECT(fd >= 0 || net->conf.hostile);
	if (fd < 0)
		return -EPROTO;
	if (!addr_within(import->mem_off, import->len, net->memory[net->fd[fd].memory].len)) {
		EXPECT(net->conf.hostile);
		fd_close(net, node, fd);
		return -EPROTO;
	}
	mapping_drop(net, node, import);
	import->fd = fd;
	import->gone = false;
	if (import->state == MAP_SUSPENDED)
		import->state = MAP_OPEN;
	return 0;
}

static void work_expose(struct net *net, uint32_t number, const struct core_output *output,
			bool fails)
{
	const struct net_region *region = net_region_find(net, number, output->region);
	uint64_t key;

	EXPECT(region);
	EXPECT(addr_within(output->expose.off, output->expose.len, region->len));
	net->exposed = net_grow(net->exposed, net->exposed_count, sizeof(*net->exposed));
	net->exposed[net->exposed_count++] = (struct net_exposed){
		.home = number,
		.record = output->record,
		.memory = region->memory,
		.rights = output->expose.rights,
		.off = output->expose.off,
		.len = output->expose.len,
		.live = !fails,
	};
	key = net->exposed_count;
	core_work_exposed(net->node[number].core, output->work, &key, fails ? 0 : sizeof(key),
			  net_now(net));
}

static void work_hide(struct net *net, uint32_t node, uint32_t record)
{
	for (uint32_t i = 0; i < net->exposed_count; i++)
		if (net->exposed[i].home == node && net->exposed[i].record == record)
			net->exposed[i].live = false;
}

static void import_dead(struct net_import *import, int status)
{
	if (import->state != MAP_DEAD)
		import->status = status;
	import->state = MAP_DEAD;
}

static int work_import(struct net *net, uint32_t node, struct net_import *import,
		       const struct core_output *output, bool fails)
{
	if (output->work_kind == CORE_WORK_BLOCK || output->work_kind == CORE_WORK_LOST)
		import_dead(import, output->status);
	if (output->work_kind == CORE_WORK_LOST)
		import->gone =
			true; /* its home may live: nothing stored here gets there any more */
	if (fails) {
		if (output->work_kind == CORE_WORK_REMAP && output->fd >= 0)
			fd_close(net, node, output->fd);
		return -ENOMEM;
	}
	if (output->work_kind == CORE_WORK_BLOCK)
		mapping_drop(net, node, import);
	if (output->work_kind == CORE_WORK_REMAP)
		return work_remap(net, node, import, output);
	if (output->work_kind == CORE_WORK_SUSPEND) {
		import->gone = true;
		if (import->state == MAP_OPEN)
			import->state = MAP_SUSPENDED;
	}
	return 0;
}

static void work_count(struct net_node *node, enum core_work_kind kind)
{
	node->block_count += kind == CORE_WORK_BLOCK;
	node->suspend_count += kind == CORE_WORK_SUSPEND;
	node->remap_count += kind == CORE_WORK_REMAP;
	node->force_count += kind == CORE_WORK_FORCE;
	node->lost_count += kind == CORE_WORK_LOST;
}

static void lost_all(struct net *net, uint32_t number, int status)
{
	struct net_node *node = &net->node[number];
	struct import_entry entry;

	for (uint32_t i = 0; i < node->import_count; i++)
		if (node->import[i].state != MAP_NONE &&
		    import_lookup(core_imports(node->core), i, &entry) == 0 &&
		    entry.state != IMPORT_READY) {
			import_dead(&node->import[i], status);
			node->import[i].gone = true;
		}
}

static void work_run(struct net *net, uint32_t number, const struct core_output *output)
{
	struct net_node *node = &net->node[number];
	struct net_import *import;
	bool fails = node->work_fail[output->work_kind] > 0;
	int err = 0;

	work_count(node, output->work_kind);
	node->work_fail[output->work_kind] -= fails;
	if (output->work_kind == CORE_WORK_EXPOSE || output->work_kind == CORE_WORK_HIDE) {
		if (output->work_kind == CORE_WORK_EXPOSE)
			work_expose(net, number, output, fails);
		else
			work_hide(net, number, output->record);
		return;
	}
	if (output->work_kind == CORE_WORK_LOST && output->import == 0) {
		lost_all(net, number, output->status);
		return;
	}
	if (output->work_kind == CORE_WORK_FORCE) {
		err = fails ? -ENOMEM :
			      work_force(net, net_region_find(net, number, output->region));
	} else {
		import = net_import_at(net, number, output->import);
		if (import)
			err = work_import(net, number, import, output, fails);
		else if (output->fd >= 0)
			fd_close(net, number, output->fd);
	}
	if (output->work_kind != CORE_WORK_LOST)
		core_work_done(node->core, output->work, err, net_now(net));
}

static void works_until(struct net *net, uint32_t number, uint64_t until)
{
	struct net_node *node = &net->node[number];

	while (node->work_count && node->work[0].due <= until) {
		struct core_output output = node->work[0].output;

		node->work_count--;
		memmove(node->work, node->work + 1, node->work_count * sizeof(*node->work));
		work_run(net, number, &output);
	}
}

void work_take(struct net *net, uint32_t number, const struct core_output *output)
{
	struct net_node *node = &net->node[number];
	uint64_t due = net_now(net);

	if (output->work_kind == CORE_WORK_SERVE) {
		work_serve(net, number, output);
		return;
	}
	/* What is hidden is out of reach when the next output is looked at: nobody waits for it. */
	if (net->conf.work_delay_max_ns == 0 || output->work_kind == CORE_WORK_EXPOSE ||
	    output->work_kind == CORE_WORK_HIDE) {
		work_run(net, number, output);
		return;
	}
	/* Done before the end of its link is seen at the other end: with what was asked for before. */
	if (output->work_kind == CORE_WORK_LOST) {
		works_until(net, number, UINT64_MAX);
		work_run(net, number, output);
		return;
	}
	due += net_random(net, net->conf.work_delay_max_ns);
	if (due < node->work_last)
		due = node->work_last;
	node->work_last = due;
	node->work = net_grow(node->work, node->work_count, sizeof(*node->work));
	node->work[node->work_count++] = (struct net_work){ .due = due, .output = *output };
}

uint64_t works_next(const struct net_node *node)
{
	return node->work_count ? node->work[0].due : UINT64_MAX;
}

void works_run(struct net *net, uint32_t number)
{
	works_until(net, number, net_now(net));
}
