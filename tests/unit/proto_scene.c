/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_scene.c -- one scenario with everything in it, which goes on whatever fails */
#include "proto_scene.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define MS 300

struct scene {
	struct net *net;
	struct scene_end *end;
	uint64_t region;
	struct farbus_token all, next, served, other, chained;
	uint32_t mapped[SCENE_SIZE], to_served, to_chained, survivor[SCENE_SIZE];
};

/* Who has ended asks nothing. */
#define ASK(scene, node, ask) (net_alive((scene)->net, (node)) ? (ask) : NULL)

static void count(struct scene *scene, int status)
{
	scene->end->ok += status == 0;
	scene->end->failed += status != 0;
}

static int wait(struct scene *scene, struct ask *ask)
{
	int status = ask ? net_wait(scene->net, ask) : -ECANCELED;

	count(scene, status);
	return status;
}

static void scene_start(struct scene *scene)
{
	struct ask *join[SCENE_SIZE];
	uint32_t node;

	for (uint32_t rank = 0; rank < SCENE_SIZE; rank++)
		if (net_start(scene->net, &(struct net_node_conf){ .rank = rank }, &node) < 0)
			EXPECT(net_start(scene->net, &(struct net_node_conf){ .rank = rank },
					 &node) == 0);
	for (node = 0; node < SCENE_SIZE; node++)
		join[node] = ASK(scene, node, net_join(scene->net, node, MS));
	for (node = 0; node < SCENE_SIZE; node++)
		scene->end->joined[node] = wait(scene, join[node]) == 0;
}

static void scene_publish(struct scene *scene)
{
	struct net *net = scene->net;
	struct ask *one, *two;

	if (!net_alive(net, 1))
		return;
	scene->region = net_region(net, 1, 2 * PAGE, NET_MAPPABLE);
	if (!scene->region)
		return;
	count(scene, net_grant(net, 1, scene->region, 0, 2 * PAGE, RWA | FARBUS_G, 0, &scene->all));
	count(scene, net_grant(net, 1, scene->region, 0, 2 * PAGE, RWA, FARBUS_GRANT_SERVED,
			       &scene->served));
	one = net_publish(net, 1, "all", &scene->all, MS);
	two = ASK(scene, 1, net_publish(net, 1, "served", &scene->served, MS));
	wait(scene, one);
	wait(scene, two);
}

static uint32_t scene_import(struct scene *scene, uint32_t node, const char *name)
{
	struct ask *ask = ASK(scene, node, net_lookup(scene->net, node, name, MS));

	if (wait(scene, ask) < 0)
		return 0;
	ask = ASK(scene, node, net_import(scene->net, node, &ask->token, MS));
	return wait(scene, ask) == 0 ? ask->import : 0;
}

static void scene_access(struct scene *scene)
{
	struct net *net = scene->net;
	uint64_t word = 7;

	for (uint32_t node = 0; node < SCENE_SIZE; node++) {
		scene->mapped[node] = scene_import(scene, node, "all");
		if (scene->mapped[node])
			count(scene, net_add(net, node, scene->mapped[node], 8, 1));
	}
	scene->to_served = scene_import(scene, 3, "served");
	wait(scene, ASK(scene, 3, net_put(net, 3, scene->to_served, 16, &word, 8, MS)));
	wait(scene, ASK(scene, 3, net_get(net, 3, scene->to_served, 16, 8, MS)));
	wait(scene, ASK(scene, 3, net_atomic(net, 3, scene->to_served, 24, FARBUS_ADD, 1, MS)));
}

static void scene_chain(struct scene *scene)
{
	struct net *net = scene->net;
	struct ask *ask =
		ASK(scene, 2, net_chain(net, 2, scene->mapped[2], 0, PAGE, RWA, 0, 0, MS));

	if (wait(scene, ask) < 0)
		return;
	scene->chained = ask->token;
	ask = ASK(scene, 3, net_import(net, 3, &scene->chained, MS));
	if (wait(scene, ask) == 0)
		scene->to_chained = ask->import;
}

static void scene_meet(struct scene *scene)
{
	struct net *net = scene->net;
	struct ask *ask[3 * SCENE_SIZE];
	double part = 0.5;

	for (uint32_t node = 0; node < SCENE_SIZE; node++)
		ask[node] = ASK(scene, node, net_barrier(net, node, MS));
	for (uint32_t i = 0; i < SCENE_SIZE; i++)
		wait(scene, ask[i]);
	for (uint32_t node = 0; node < SCENE_SIZE; node++)
		ask[node] = ASK(scene, node,
				net_allreduce(net, node, &part, 1, FARBUS_F64, FARBUS_SUM, MS));
	for (uint32_t i = 0; i < SCENE_SIZE; i++)
		wait(scene, ask[i]);
	for (uint32_t node = 0; node < SCENE_SIZE; node++)
		ask[node] = ASK(scene, node, net_broadcast(net, node, 2, "word", 4, MS));
	for (uint32_t i = 0; i < SCENE_SIZE; i++)
		wait(scene, ask[i]);
}

static void scene_rotate(struct scene *scene)
{
	struct net *net = scene->net;

	if (net_alive(net, 1))
		count(scene, net_rotate(net, 1, &scene->all, &scene->next));
	for (uint32_t node = 2; node < SCENE_SIZE; node++)
		wait(scene,
		     ASK(scene, node, net_renew(net, node, scene->mapped[node], &scene->next, MS)));
	wait(scene, ASK(scene, 1, net_revoke(net, 1, &scene->all, false, MS)));
	if (net_alive(net, 0))
		net_release(net, 0, scene->mapped[0]);
}

/* The home itself, and another: they hold what is not revoked when memory is moved. */
static void scene_survivors(struct scene *scene)
{
	struct net *net = scene->net;

	if (!net_alive(net, 1))
		return;
	count(scene, net_grant(net, 1, scene->region, 0, 2 * PAGE, RWA, 0, &scene->other));
	for (uint32_t node = 1; node < 3; node++) {
		struct ask *ask = ASK(scene, node, net_import(net, node, &scene->other, MS));

		if (wait(scene, ask) == 0)
			scene->survivor[node] = ask->import;
	}
}

/* Good or lost: nobody waits for memory any more. */
static void survivors_look(struct scene *scene)
{
	net_run_for(scene->net, 50 * NS_PER_MS);
	for (uint32_t node = 1; node < 3; node++)
		if (net_alive(scene->net, node) && net_alive(scene->net, 1))
			EXPECT(net_add(scene->net, node, scene->survivor[node], 8, 1) != -EAGAIN);
}

static void scene_revoke(struct scene *scene)
{
	struct net *net = scene->net;
	struct ask *forced, *import;

	wait(scene, ASK(scene, 2, net_revoke(net, 2, &scene->chained, false, MS)));
	scene_survivors(scene);
	if (net_alive(net, 3))
		net_stop(net, 3);
	forced = ASK(scene, 1, net_revoke(net, 1, &scene->next, true, MS));
	import = ASK(scene, 0, net_import(net, 0, &scene->served, MS));
	wait(scene, forced);
	wait(scene, import);
	survivors_look(scene);
	if (net_alive(net, 3))
		net_continue(net, 3);
	wait(scene, ASK(scene, 3, net_get(net, 3, scene->to_served, 16, 8, MS)));
}

static void scene_end(struct scene *scene)
{
	struct net *net = scene->net;

	wait(scene, ASK(scene, 1, net_withdraw(net, 1, scene->region, false, MS)));
	wait(scene, ASK(scene, 3, net_lookup(net, 3, "nobody", 5)));
	if (net_alive(net, 2))
		net_goodbye(net, 2);
	net_run(net);
}

void scene_run(struct net *net, struct scene_end *ret_end)
{
	struct scene scene = { .net = net, .end = ret_end };

	*ret_end = (struct scene_end){ 0 };
	scene_start(&scene);
	scene_publish(&scene);
	scene_access(&scene);
	scene_chain(&scene);
	scene_meet(&scene);
	scene_rotate(&scene);
	scene_revoke(&scene);
	scene_end(&scene);
}
