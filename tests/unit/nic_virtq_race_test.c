/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_virtq_race_test.c -- driver and device in two threads that sleep: no wakeup is lost
 *
 * Each side tells the other only when it has to, and sleeps when there is nothing to do. A wakeup that is
 * suppressed wrongly leaves both asleep, which ends the test by its timeout.
 */
#include "nic_virtq_common.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHAINS ROUNDS(200000)
#define ASLEEP_MS 10000

struct race {
	int kick, call;
	unsigned device_sleeps, driver_sleeps, kicks, calls;
	bool device_stuck;
	uint64_t random;
};

/* False: nobody woke us. */
static bool asleep(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t count;

	if (poll(&poll_fd, 1, ASLEEP_MS) != 1)
		return false;
	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static void device_publish(struct race *race)
{
	virtq_publish(&world->vq);
	if (virtq_notify_wanted(&world->vq)) {
		race->calls++;
		eventfd_write(race->call, 1);
	}
}

static void *device_run(void *arg)
{
	struct race *race = arg;
	unsigned done = 0, burst = 0;

	while (done < CHAINS) {
		struct virtq_piece piece[4];
		struct virtq_chain chain;

		if (virtq_pop(&world->vq, piece, 4, &chain) == 1) {
			virtq_push(&world->vq, &chain, 1);
			done++;
			if (++burst % 5 == 0)
				device_publish(race);
			continue;
		}
		device_publish(race);
		if (virtq_kick_enable(&world->vq))
			continue;
		race->device_sleeps++;
		if (!asleep(race->kick)) {
			race->device_stuck = true;
			return NULL;
		}
		virtq_kick_disable(&world->vq);
	}
	device_publish(race);
	return NULL;
}

/* Of the driver: sleeps until something is used. False: nobody says so. */
static bool used_wait(struct race *race, unsigned *seen)
{
	uint32_t len;

	if (kind.event_idx)
		driver_queue_calls_after(&world->queue, 1);
	else
		driver_queue_calls_on(&world->queue);
	/* What came before the wish was heard. */
	if (driver_queue_used(&world->queue, &len) >= 0) {
		++*seen;
		return true;
	}
	race->driver_sleeps++;
	if (!asleep(race->call))
		return false;
	if (!kind.event_idx)
		driver_queue_calls_off(&world->queue);
	return true;
}

static void race__both_sleep__nobody_for_ever(void **state)
{
	struct race race = { .kick = eventfd(0, 0), .call = eventfd(0, 0), .random = 9 };
	unsigned added = 0, seen = 0;
	bool awake = true;
	pthread_t thread;
	uint32_t len;

	(void)state;
	/* Tables are filled after the chain can be seen; that is this driver's way, and no matter here. */
	if (kind.indirect) {
		close(race.kick);
		close(race.call);
		return;
	}
	assert_int_equal(pthread_create(&thread, NULL, device_run, &race), 0);
	while (seen < CHAINS && awake) {
		unsigned burst = 1 + (unsigned)random_below(&race.random, 6);

		while (burst-- > 0 && added < CHAINS && add_one(64) >= 0)
			added++;
		if (driver_queue_kick_due(&world->queue)) {
			race.kicks++;
			eventfd_write(race.kick, 1);
		}
		/* Most often nothing comes until the device has used all: so a kick that is missing
		 * is missed. The moment changes, to meet the device on its way to sleep. */
		for (uint64_t spin = random_below(&race.random, 200); spin > 0; spin--)
			__asm__ volatile("");
		while (driver_queue_used(&world->queue, &len) >= 0)
			seen++;
		if (random_below(&race.random, 4) == 0 && added < CHAINS)
			continue;
		while (seen < added && awake)
			awake = used_wait(&race, &seen);
	}
	/* If it is the device that sleeps, it is not waited for in vain. */
	if (seen < CHAINS)
		eventfd_write(race.kick, 1);
	pthread_join(thread, NULL);
	assert_false(race.device_stuck);
	assert_int_equal(seen, CHAINS);
	/* Both slept, and were told less often than there were chains. */
	assert_true(race.driver_sleeps > 0);
	assert_true(race.kicks < CHAINS);
	assert_true(race.calls < CHAINS);
	close(race.kick);
	close(race.call);
}

int main(void)
{
	const struct CMUnitTest list[] = {
		VIRTQ_TEST(race__both_sleep__nobody_for_ever),
	};

	return virtq_run(list, COUNT_OF(list));
}
