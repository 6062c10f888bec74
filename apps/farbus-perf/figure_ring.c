/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figure_ring.c -- the descriptor ring of the control channel, between two threads on two CPUs
 *
 * An order is a ring, a count and a batch: the measuring thread produces, the other consumes. It
 * lives only while this figure is measured.
 *
 * Ordering: order is stored with release after what it is about, and loaded with acquire by the
 * consumer; done is stored with release after result, and loaded with acquire by the producer.
 */
#include "apps/farbus-perf/figure.h"
#include "apps/farbus-perf/ring_peer.h"
#include "base/error.h"
#include "transport/shm/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH_NS (200 * NS_PER_US)
#define ROUND_MIN 8
#define ORDER_STOP UINT64_MAX

struct farbus_ring {
	void *memory; /* owned */
	struct ring_producer producer __attribute__((aligned(128)));
	struct ring_consumer consumer __attribute__((aligned(128)));
} __attribute__((aligned(128)));

struct bench_ring {
	/* written by the producer */
	uint64_t order __attribute__((aligned(128))); /* how many there were, or ORDER_STOP */
	const struct ring_peer *peer;
	void *ring;
	uint64_t count;
	unsigned batch;
	int cpu; /* of the producer */
	/* written by the consumer */
	uint64_t done __attribute__((aligned(128)));
	int result;
};

struct ring_side {
	struct bench_ring *bench;
	const struct ring_peer *peer;
	void *ring;
};

/* ---- our ring ---------------------------------------------------------------------------- */

static void farbus_ring_free(void *arg)
{
	struct farbus_ring *ring = arg;

	if (!ring)
		return;
	munmap(ring->memory, ring_size(RING_PEER_SLOTS));
	free(ring);
}

static void *farbus_ring_new(void)
{
	struct farbus_ring *ring = aligned_alloc(128, sizeof(*ring));

	if (!ring)
		return NULL;
	ring->memory = mmap(NULL, ring_size(RING_PEER_SLOTS), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (ring->memory == MAP_FAILED) {
		free(ring);
		return NULL;
	}
	ring_init(ring->memory, RING_PEER_SLOTS);
	ring_producer_init(&ring->producer, ring->memory, RING_PEER_SLOTS);
	ring_consumer_init(&ring->consumer, ring->memory, RING_PEER_SLOTS);
	return ring;
}

static int farbus_produce_single(struct farbus_ring *ring, uint64_t count)
{
	uint64_t payload[RING_PAYLOAD / 8] = { 0 };

	for (uint64_t i = 0; i < count; i++) {
		payload[0] = i;
		if (__builtin_expect(!ring_push(&ring->producer, payload), 0)) {
			struct ring_peer_wait wait = { 0 };

			while (!ring_push(&ring->producer, payload))
				if (ring_peer_wait(&wait) < 0)
					return -ETIMEDOUT;
		}
	}
	return 0;
}

static int farbus_produce(void *arg, uint64_t count, unsigned batch)
{
	uint64_t payload[RING_PEER_BATCH_MAX][RING_PAYLOAD / 8] = { { 0 } };
	struct farbus_ring *ring = arg;

	if (batch == 1)
		return farbus_produce_single(ring, count);
	for (uint64_t i = 0; i < count;) {
		unsigned n = count - i < batch ? (unsigned)(count - i) : batch, done = 0;
		struct ring_peer_wait wait = { 0 };

		for (unsigned k = 0; k < n; k++)
			payload[k][0] = i + k;
		while (done < n) {
			unsigned went = ring_push_batch(&ring->producer, payload[done], n - done);

			done += went;
			if (went == 0 && ring_peer_wait(&wait) < 0)
				return -ETIMEDOUT;
		}
		i += n;
	}
	return 0;
}

static int farbus_consume(void *arg, uint64_t count, unsigned batch)
{
	uint64_t payload[RING_PEER_BATCH_MAX][RING_PAYLOAD / 8];
	struct farbus_ring *ring = arg;
	struct ring_peer_wait wait = { 0 };
	uint64_t sum = 0, i = 0;

	while (i < count) {
		unsigned n = batch == 1 ? ring_pop(&ring->consumer, payload) :
					  ring_pop_batch(&ring->consumer, payload, batch);

		if (__builtin_expect(n == 0, 0)) {
			if (ring_peer_wait(&wait) < 0)
				return -ETIMEDOUT;
			continue;
		}
		for (unsigned k = 0; k < n; k++)
			sum += payload[k][0];
		i += n;
		wait = (struct ring_peer_wait){ 0 };
	}
	return sum == count * (count - 1) / 2 ? 0 : -EBADMSG;
}

static const struct ring_peer farbus_peer = {
	.name = "farbus",
	.new = farbus_ring_new,
	.free = farbus_ring_free,
	.produce = farbus_produce,
	.consume = farbus_consume,
};

/* ---- the two threads --------------------------------------------------------------------- */

/* To any CPU but the producer's, if the kernel lets us. */
static void consumer_pin(int producer_cpu)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	for (int cpu = 0; cpu < cpus && cpu < CPU_SETSIZE; cpu++) {
		cpu_set_t set;

		if (cpu == producer_cpu)
			continue;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) == 0)
			return;
	}
}

static void *consumer_main(void *arg)
{
	struct bench_ring *bench = arg;
	uint64_t done = 0;

	consumer_pin(bench->cpu);
	for (;;) {
		uint64_t order = __atomic_load_n(&bench->order, __ATOMIC_ACQUIRE);
		struct ring_peer_wait wait = { 0 };

		while (order == done) {
			if (ring_peer_wait(&wait) < 0)
				return NULL; /* the producer reports that, too */
			order = __atomic_load_n(&bench->order, __ATOMIC_ACQUIRE);
		}
		if (order == ORDER_STOP)
			return NULL;
		bench->result = bench->peer->consume(bench->ring, bench->count, bench->batch);
		done = order;
		__atomic_store_n(&bench->done, done, __ATOMIC_RELEASE);
	}
}

static int side_run(void *arg, uint64_t count)
{
	struct ring_side *side = arg;
	struct bench_ring *bench = side->bench;
	struct ring_peer_wait wait = { 0 };
	uint64_t order = bench->order + 1;
	int err;

	bench->peer = side->peer;
	bench->ring = side->ring;
	bench->count = count;
	__atomic_store_n(&bench->order, order, __ATOMIC_RELEASE);
	err = side->peer->produce(side->ring, count, bench->batch);
	while (err == 0 && __atomic_load_n(&bench->done, __ATOMIC_ACQUIRE) != order)
		err = ring_peer_wait(&wait);
	if (err == 0)
		err = bench->result;
	return err < 0 ? error_set(err, "ring of %s: %s", side->peer->name, strerror(-err)) : 0;
}

static int rings_measure(const struct figure_bench *bench, struct bench_ring *with,
			 struct ring_side side[2], struct measure_result *ret_result)
{
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC,
				     .batch_ns = BATCH_NS,
				     .budget_ns = bench->budget_ns,
				     .round_min = ROUND_MIN };
	struct measure_side subject = { side_run, &side[0] }, floor = { side_run, &side[1] };
	pthread_t consumer;
	int err = pthread_create(&consumer, NULL, consumer_main, with);

	if (err)
		return error_set(-err, "cannot start a thread: %s", strerror(err));
	err = measure_pair(&plan, &floor, &subject, ret_result);
	__atomic_store_n(&with->order, ORDER_STOP, __ATOMIC_RELEASE);
	pthread_join(consumer, NULL);
	return err;
}

int figure_ring(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result)
{
	struct bench_ring with = { .batch = figure->param, .cpu = sched_getcpu() };
	struct ring_side side[2] = { { .bench = &with, .peer = &farbus_peer },
				     { .bench = &with, .peer = ring_peer() } };
	int err = 0;

	for (int i = 0; i < 2 && err == 0; i++) {
		side[i].ring = side[i].peer->new ();
		if (!side[i].ring)
			err = error_set(-ENOMEM, "no memory for a ring");
	}
	if (err == 0)
		err = rings_measure(bench, &with, side, ret_result);
	for (int i = 0; i < 2; i++)
		side[i].peer->free(side[i].ring);
	return err;
}
