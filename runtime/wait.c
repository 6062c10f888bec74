/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wait.c -- threads of the application that wait for others
 *
 * The first one leads: it polls the transports itself and sleeps on them, so that an answer wakes
 * the thread that wants it and no other (a wake-up through the service thread would cost a second
 * one: facts, 15 to 40 us across CPUs). Meanwhile the service thread watches its timer only. Others
 * sleep on their condition.
 *
 * Invariants:
 *   1. while nobody leads, and nobody holds or somebody follows, the service thread watches the
 *      transports (watch_update)
 *   2. whoever makes a leader's done() true without being the leader wakes it
 *      (service_pump_locked)
 *   3. who makes it watch again leaves the transports armed, or wakes it
 *   4. lead_rung says whether lead_wake is readable; while nobody leads it is not, or the service
 *      thread, which watches it with the transports, would never sleep
 */
#include "base/assert.h"
#include "runtime/instance.h"
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LEAD_EVENTS 8
#define DEVICE_SPINS 10 /* times spin_us: nobody has to be given a CPU before a device answers */

static bool late(uint64_t deadline)
{
	return deadline != UINT64_MAX && clock_now_ns() >= deadline;
}

static int sleep_ms(uint64_t deadline)
{
	uint64_t now = clock_now_ns(), ms;

	if (deadline == UINT64_MAX)
		return -1;
	ms = deadline > now ? (deadline - now + NS_PER_MS - 1) / NS_PER_MS : 0;
	return ms > 1000000 ? 1000000 : (int)ms;
}

/* Under the lock, so that it cannot take away a ring that lead_rung does not know of yet. */
static void lead_silence(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	uint64_t count;

	if (!farbus->lead_rung)
		return;
	farbus->lead_rung = false;
	while (read(farbus->lead_wake, &count, sizeof(count)) > 0)
		;
}

static void lead_sleep(struct farbus *farbus, uint64_t deadline) REQUIRES(&farbus->lock)
{
	struct epoll_event event[LEAD_EVENTS];

	lock_release(&farbus->lock);
	epoll_wait(farbus->net, event, LEAD_EVENTS, sleep_ms(deadline));
	lock_acquire(&farbus->lock);
	lead_silence(farbus);
}

/* What the leader does itself needs no ring. */
static void lead_pump(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	bool (*done)(const void *arg) = farbus->leader_done;

	farbus->leader_done = NULL;
	service_pump_locked(farbus);
	FARBUS_ASSERT(farbus->leader_done == NULL); /* the pump keeps the lock */
	farbus->leader_done = done;
}

static void spin_until_locked(struct farbus *farbus, bool (*done)(const void *arg), const void *arg,
			      uint64_t until, void (*pump)(struct farbus *farbus))
	REQUIRES(&farbus->lock)
{
	while (!done(arg) && clock_now_ns() < until) {
		lock_release(&farbus->lock);
		__builtin_ia32_pause();
		lock_acquire(&farbus->lock);
		pump(farbus);
	}
}

/* Polls for at most spin_us: a wake-up from another CPU costs more than that. */
static void spin_locked(struct farbus *farbus, bool (*done)(const void *arg), const void *arg,
			uint64_t deadline, void (*pump)(struct farbus *farbus))
	REQUIRES(&farbus->lock)
{
	uint64_t until = clock_now_ns() + farbus->config.spin_us * NS_PER_US;

	spin_until_locked(farbus, done, arg, until < deadline ? until : deadline, pump);
}

/* A follower is done when the service thread says so, once the leader has gone. */
static void watch_update(struct farbus *farbus, bool leads) REQUIRES(&farbus->lock)
{
	bool watch = !leads && (farbus->holds == 0 || farbus->followers > 0);

	if (watch == farbus->watched)
		return;
	farbus->watched = watch;
	if (watch && !backends_park(farbus))
		service_wake(farbus);
	service_watch(farbus, watch);
}

void wait_hold_locked(struct farbus *farbus)
{
	farbus->holds++;
	watch_update(farbus, farbus->leader_done != NULL);
}

void wait_unhold_locked(struct farbus *farbus)
{
	FARBUS_ASSERT(farbus->holds > 0);
	farbus->holds--;
	watch_update(farbus, farbus->leader_done != NULL);
}

/*
 * The service thread stops watching before the request goes out: what comes back would wake it,
 * too, and it would take this thread's CPU and lock just then. Nothing is polled before the first
 * sleep: what is there already ends that at once.
 */
static void lead_locked(struct farbus *farbus, bool (*done)(const void *arg), const void *arg,
			uint64_t deadline) REQUIRES(&farbus->lock)
{
	watch_update(farbus, true);
	service_push_locked(farbus);
	farbus->leader_done = done;
	farbus->leader_arg = arg;
	if (farbus->spin)
		spin_locked(farbus, done, arg, deadline, lead_pump);
	while (!done(arg)) {
		if (backends_park(farbus))
			lead_sleep(farbus, deadline);
		lead_pump(farbus);
		if (late(deadline))
			break;
	}
	farbus->leader_done = NULL;
	lead_silence(farbus);
	watch_update(farbus, false);
}

static void follow_locked(struct farbus *farbus, pthread_cond_t *cond, uint64_t deadline)
	REQUIRES(&farbus->lock)
{
	struct timespec until = { (time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S) };

	farbus->followers++;
	if (deadline == UINT64_MAX)
		pthread_cond_wait(cond, &farbus->lock.mutex);
	else
		pthread_cond_timedwait(cond, &farbus->lock.mutex, &until);
	farbus->followers--;
}

/*
 * Without leading: for what comes by itself and wakes nobody. The service thread keeps watching, which
 * would cost two calls of the kernel, and arming the transports again a third, for nothing.
 */
void wait_poll_locked(struct farbus *farbus, bool (*done)(const void *arg), const void *arg)
{
	uint64_t spin_ns = DEVICE_SPINS * farbus->config.spin_us * NS_PER_US;

	lock_held(&farbus->lock);
	if (!farbus->leader_done && farbus->spin && !done(arg)) {
		service_pump_locked(farbus);
		spin_until_locked(farbus, done, arg, clock_now_ns() + spin_ns, service_pump_locked);
	}
}

int wait_until_locked(struct farbus *farbus, pthread_cond_t *cond, bool (*done)(const void *arg),
		      const void *arg, uint64_t deadline)
{
	if (farbus->leader_done && !done(arg)) {
		service_pump_locked(farbus);
		if (farbus->spin)
			spin_locked(farbus, done, arg, deadline, service_pump_locked);
	}
	while (!done(arg)) {
		if (!farbus->leader_done)
			lead_locked(farbus, done, arg, deadline);
		else if (backends_park(farbus)) /* the leader sleeps for what it needs only */
			follow_locked(farbus, cond, deadline);
		else
			service_pump_locked(farbus);
		if (late(deadline))
			return done(arg) ? 0 : -ETIMEDOUT;
	}
	return 0;
}
