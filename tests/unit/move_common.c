/* SPDX-License-Identifier: BSD-3-Clause */
/* move_common.c -- two instances in one process, and memory of one that has a place in the other */
#include "tests/unit/move_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

void scene_open(struct scene *scene, const char *job)
{
	struct farbus_conf conf = { .job = job, .size = 2 };
	struct farbus_region_info info;
	struct farbus_token token;

	memset(scene, 0, sizeof(*scene));
	for (conf.rank = 0; conf.rank < 2; conf.rank++) {
		struct farbus_region **region = &scene->region[conf.rank];

		assert_int_equal(farbus_open(&conf, &scene->farbus[conf.rank]), 0);
		assert_int_equal(farbus_region_alloc(scene->farbus[conf.rank],
						     (size_t)SCENE_PAGES * SCENE_PAGE, 0, region),
				 0);
		assert_int_equal(farbus_region_info(*region, &info), 0);
		scene->memory[conf.rank] = info.va;
	}
	assert_int_equal(farbus_region_grant(scene->region[DST], 0,
					     (size_t)SCENE_PAGES * SCENE_PAGE, FARBUS_R | FARBUS_W,
					     NULL, &token),
			 0);
	assert_int_equal(
		farbus_region_import(scene->farbus[SRC], &token, SCENE_WAIT_MS, &scene->remote), 0);
	commit_init(&scene->commit[SRC], COMMIT_SOURCE);
	commit_init(&scene->commit[DST], COMMIT_DEST);
}

static void *accept_one(void *arg)
{
	struct scene *scene = arg;

	scene->dest_err = mail_accept(scene->mail[DST], SCENE_WAIT_MS);
	return NULL;
}

void scene_mail(struct scene *scene, const char *name)
{
	assert_int_equal(mail_listen(scene->farbus[DST], name, &scene->mail[DST]), 0);
	assert_int_equal(pthread_create(&scene->thread, NULL, accept_one, scene), 0);
	assert_int_equal(mail_connect(scene->farbus[SRC], name, SCENE_WAIT_MS, &scene->mail[SRC]),
			 0);
	scene_dest_join(scene);
	assert_int_equal(scene->dest_err, 0);
}

void scene_close(struct scene *scene)
{
	for (int i = SRC; i <= DST; i++)
		scene->mail[i] = mail_close(scene->mail[i]);
	move_state_free(&scene->state);
	for (int i = SRC; i <= DST; i++)
		if (scene->farbus[i])
			assert_int_equal(farbus_close(scene->farbus[i]), 0);
}

int scene_dest_prepare(struct scene *scene)
{
	struct commit *commit = &scene->commit[DST];
	struct mail_message message;
	int err = 0;

	while (err == 0 && commit->state == COMMIT_MOVING) {
		err = mail_receive(scene->mail[DST], SCENE_WAIT_MS, &message);
		if (err == 0)
			err = move_switch_message(&message, &scene->state, commit);
	}
	return err;
}

static void *dest_run(void *arg)
{
	struct scene *scene = arg;

	scene->dest_err = scene_dest_prepare(scene);
	if (scene->dest_err == 0 && scene->commit[DST].state == COMMIT_PREPARING)
		scene->dest_err = move_switch_dest(scene->mail[DST], scene->status, SCENE_WAIT_MS,
						   &scene->commit[DST]);
	return NULL;
}

void scene_dest_start(struct scene *scene)
{
	assert_int_equal(pthread_create(&scene->thread, NULL, dest_run, scene), 0);
}

void scene_dest_join(struct scene *scene)
{
	assert_int_equal(pthread_join(scene->thread, NULL), 0);
}
