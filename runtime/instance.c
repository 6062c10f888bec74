/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * instance.c -- joining and leaving a job
 *
 * farbus_open() takes its steps in one order and close takes them back in the reverse one:
 *   process page, settings, bootstrap, core, transport, tables, service thread, root.
 */
#include "runtime/instance.h"

#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process_page.h"
#include "transport/copy.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define AUTH_TIMEOUT_NS (10 * NS_PER_S)
#define CLOSE_TIMEOUT_NS (200 * NS_PER_MS)
#define JOIN_WAIT_NS NS_PER_S
#define BOOT_KEY "farbus-job"

/* What rank 0 tells the others through the launcher. */
struct boot_job {
	uint64_t job;
	uint8_t secret[MAC_KEY_SIZE];
};

int instance_check(struct farbus *farbus)
{
	if (!farbus)
		return error_set(-EINVAL, "the instance is NULL: pass what farbus_open() gave");
	return process_check();
}

uint64_t instance_deadline(const struct farbus *farbus, int timeout_ms)
{
	uint64_t ns = timeout_ms < 0 ? farbus->timeout_ns : (uint64_t)timeout_ms * NS_PER_MS;

	return clock_now_ns() + ns;
}

void cond_init_monotonic(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static int conf_check(const struct farbus_conf *conf)
{
	if (!conf->job)
		return 0;
	if (!conf->job[0])
		return error_set(-EINVAL, "conf.job is empty: give a name that only this job's "
					  "instances know, or NULL to ask the launcher");
	if (conf->size == 0 || conf->size > CORE_SIZE_MAX)
		return error_set(-EINVAL, "conf.size %u: give 1 to %d", conf->size, CORE_SIZE_MAX);
	if (conf->rank >= conf->size)
		return error_set(-EINVAL, "conf.rank %u: give 0 to size - 1 = %u", conf->rank,
				 conf->size - 1);
	return 0;
}

/* conf.job names the job: everything is derived from it, nobody is asked. */
static int boot_static(struct farbus *farbus, const struct farbus_conf *conf,
		       struct boot_job *ret_job)
{
	uint8_t proof[MAC_PROOF_SIZE];

	mac_key_derive(conf->job, strlen(conf->job), ret_job->secret);
	mac_proof(ret_job->secret, "farbus job id", 13, proof);
	memcpy(&ret_job->job, proof, sizeof(ret_job->job));
	farbus->self.rank = farbus->self.local_rank = conf->rank;
	farbus->self.size = farbus->self.local_size = conf->size;
	farbus->one_host = true;
	if (!backend_wants_shm(farbus))
		return error_set(-EINVAL,
				 "FARBUS_TRANSPORT=%s with conf.job: without a launcher the ranks "
				 "find each other through shm only; add it, or give FARBUS_JOIN",
				 farbus->config.transport);
	return backends_open_network(farbus);
}

/* Ranks of other hosts find us by our card. */
static int card_put(struct farbus *farbus)
{
	char card[BOOT_VALUE_MAX], key[BOOT_KEY_MAX];

	if (farbus->one_host)
		return 0;
	snprintf(key, sizeof(key), CARD_KEY "%u", farbus->self.rank);
	return boot_put(farbus->boot, key, card, card_make(farbus, card, sizeof(card)));
}

static int boot_exchange(struct farbus *farbus, struct boot_job *ret_job)
{
	size_t len = 0;
	int err = card_put(farbus);

	if (err < 0)
		return err;
	if (farbus->self.rank == 0) {
		mac_random(&ret_job->job, sizeof(ret_job->job));
		mac_random(ret_job->secret, sizeof(ret_job->secret));
		err = boot_put(farbus->boot, BOOT_KEY, ret_job, sizeof(*ret_job));
		if (err < 0)
			return err;
	}
	err = boot_fence(farbus->boot, farbus->timeout_ns);
	if (err < 0 || farbus->self.rank == 0)
		return err;
	err = boot_get(farbus->boot, BOOT_KEY, ret_job, sizeof(*ret_job), &len, farbus->timeout_ns);
	if (err < 0)
		return err;
	if (len != sizeof(*ret_job))
		return error_set(-EPROTO,
				 "rank 0 gave %zu bytes of job data, this version needs "
				 "%zu: run one farbus version in the whole job",
				 len, sizeof(*ret_job));
	return 0;
}

static int boot_launcher(struct farbus *farbus, struct boot_job *ret_job)
{
	struct boot_info info;
	int err;

	err = boot_open(&farbus->config, farbus->timeout_ns, &farbus->boot, &info);
	if (err < 0)
		return err;
	if (info.size == 0 || info.size > CORE_SIZE_MAX || info.rank >= info.size)
		return error_set(-EPROTO, "the launcher gave rank %u of %u: farbus takes up to %d",
				 info.rank, info.size, CORE_SIZE_MAX);
	farbus->self.rank = info.rank;
	farbus->self.size = info.size;
	farbus->self.local_rank = info.local_rank;
	farbus->self.local_size = info.local_size;
	farbus->one_host = info.local_size == info.size && !farbus->config.node[0] &&
			   (strcmp(farbus->config.transport, "auto") == 0 ||
			    strcmp(farbus->config.transport, "shm") == 0);
	err = backends_open_network(farbus);
	return err < 0 ? err : boot_exchange(farbus, ret_job);
}

/*
 * conf.job and FARBUS_JOIN: the ranks meet there, so that they can be on several hosts and use any
 * transport. The job's name is its secret, unless one is set.
 */
static void job_joins(struct farbus *farbus, const struct farbus_conf *conf)
{
	struct config *config = &farbus->config;
	uint8_t key[MAC_KEY_SIZE];

	snprintf(config->rank, sizeof(config->rank), "%u", conf->rank);
	snprintf(config->size, sizeof(config->size), "%u", conf->size);
	snprintf(config->boot, sizeof(config->boot), "tcp");
	if (config->secret[0] || config->secret_file[0])
		return;
	mac_key_derive(conf->job, strlen(conf->job), key);
	mac_text_encode(key, sizeof(key), config->secret, sizeof(config->secret));
	mac_wipe(key, sizeof(key));
}

static int core_open(struct farbus *farbus, const struct boot_job *job)
{
	struct core_conf conf = {
		.job = job->job,
		.rank = farbus->self.rank,
		.size = farbus->self.size,
		.auth_timeout_ns = AUTH_TIMEOUT_NS,
		.host_mappable = farbus->config.mappable,
	};
	uint16_t restart;

	do
		mac_random(&restart, sizeof(restart));
	while (restart == 0);
	mac_random(&conf.incarnation, sizeof(conf.incarnation));
	mac_random(conf.random, sizeof(conf.random));
	conf.instance = (uint32_t)restart << 16 | farbus->self.rank;
	memcpy(conf.secret, job->secret, sizeof(conf.secret));
	farbus->self.job = job->job;
	farbus->self.instance = conf.instance;
	farbus->self.incarnation = conf.incarnation;
	return core_new(&conf, &farbus->core);
}

static int tables_open(struct farbus *farbus)
{
	int err;

	farbus->links = alloc_array(INSTANCE_LINK_MAX, sizeof(*farbus->links));
	if (!farbus->links)
		return error_set(-ENOMEM, "no memory for %d links", INSTANCE_LINK_MAX);
	err = window_table_new(&farbus->windows);
	if (err < 0)
		return err;
	err = sameva_new(farbus->self.rank, &farbus->sameva);
	if (err < 0)
		return err;
	farbus->window_tag = process_tag_new();
	farbus->tombstone = memfd_create("farbus-gone", MFD_CLOEXEC);
	farbus->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (farbus->tombstone < 0 || farbus->event_fd < 0)
		return error_set(-EMFILE, "no descriptor left (%s): raise ulimit -n",
				 strerror(errno));
	return 0;
}

static int root_join(struct farbus *farbus)
{
	struct request request = { 0 };
	uint32_t id = 0;
	int err;

	if (farbus->self.rank == 0)
		return 0;
	lock_acquire(&farbus->lock);
	err = core_connect_root(farbus->core, clock_now_ns() + farbus->timeout_ns, clock_now_ns(),
				&id);
	err = request_run_locked(farbus, &request, err, id, "joining rank 0");
	lock_release(&farbus->lock);
	return err;
}

static void requests_drop(struct farbus *farbus)
{
	struct request *request, *next;

	for (int i = 0; i < INSTANCE_REQUEST_BUCKETS; i++)
		for (request = LIST_FIRST(&farbus->requests[i]); request; request = next) {
			next = LIST_NEXT(request, link);
			if (request->heap)
				free(request);
		}
}

static void instance_free(struct farbus *farbus)
{
	requests_drop(farbus);
	for (size_t i = 0; i < sizeof(farbus->by_import) / sizeof(farbus->by_import[0]); i++)
		free(farbus->by_import[i]);
	backends_close(farbus);
	core_free(farbus->core);
	window_table_free(farbus->windows);
	sameva_free(farbus->sameva);
	free(farbus->links);
	if (farbus->tombstone >= 0)
		close(farbus->tombstone);
	if (farbus->event_fd >= 0)
		close(farbus->event_fd);
	boot_close(farbus->boot);
	if (farbus->claimed) {
		process_instance_remove(farbus->self.instance);
		process_put();
	}
	pthread_cond_destroy(&farbus->event_cond);
	lock_fini(&farbus->lock);
	free(farbus);
}

static int instance_new(struct farbus **ret_farbus)
{
	struct farbus *farbus = alloc_zero(sizeof(*farbus));

	if (!farbus)
		return error_set(-ENOMEM, "no memory for an instance");
	lock_init(&farbus->lock);
	cond_init_monotonic(&farbus->event_cond);
	farbus->tombstone = farbus->event_fd = -1;
	farbus->epoll = farbus->wake = farbus->timer = farbus->info = -1;
	farbus->net = farbus->lead_wake = -1;
	LIST_INIT(&farbus->regions);
	STAILQ_INIT(&farbus->fabric_waiting);
	*ret_farbus = farbus;
	return 0;
}

static int settings_apply(struct farbus *farbus, const struct farbus_conf *conf)
{
	static const char *const level[] = { "error", "warning", "info", "debug" };
	const char *dir;
	int err, at = -1;

	err = config_load(&farbus->config);
	if (err < 0)
		return err;
	for (int i = 0; i < 4; i++)
		if (strcmp(farbus->config.log, level[i]) == 0)
			at = i;
	if (at < 0)
		return error_set(-EINVAL, "FARBUS_LOG=%s: give error, warning, info or debug",
				 farbus->config.log);
	log_open(at, conf->rank);
	err = backends_setting_check(farbus);
	if (err < 0)
		return err;
	farbus->timeout_ns =
		(conf->timeout_ms ? conf->timeout_ms : farbus->config.timeout) * NS_PER_MS;
	copy_stream_set(farbus->config.stream_kib << 10);
	err = mac_init();
	if (err < 0)
		return err;
	dir = farbus->config.run_dir[0] ? farbus->config.run_dir : NULL;
	err = process_get(dir);
	farbus->claimed = err == 0;
	return err;
}

static int instance_join(struct farbus *farbus, const struct farbus_conf *conf)
{
	struct boot_job job;
	int err;

	memset(&job, 0, sizeof(job));
	if (conf->job && farbus->config.join[0]) {
		job_joins(farbus, conf);
		err = boot_launcher(farbus, &job);
	} else if (conf->job) {
		err = boot_static(farbus, conf, &job);
	} else {
		err = boot_launcher(farbus, &job);
	}
	if (err == 0) {
		log_open(__atomic_load_n(&log_level_max, __ATOMIC_RELAXED), farbus->self.rank);
		config_unknown_warn();
		farbus->spin = sysconf(_SC_NPROCESSORS_ONLN) >= (long)farbus->self.local_size;
		err = core_open(farbus, &job);
	}
	mac_wipe(&job, sizeof(job));
	if (err < 0)
		return err;
	process_instance_add(farbus->self.instance, farbus->self.rank, farbus->self.job);
	err = backends_open_host(farbus);
	if (err < 0)
		return err;
	err = tables_open(farbus);
	if (err < 0)
		return err;
	err = service_start(farbus);
	if (err < 0)
		return err;
	return root_join(farbus);
}

int farbus_open(const struct farbus_conf *conf, struct farbus **ret_farbus)
{
	static const struct farbus_conf none;
	struct farbus *farbus = NULL;
	int err;

	if (!ret_farbus)
		return error_set(-EINVAL, "ret_farbus is NULL: nowhere to put the instance");
	if (!conf)
		conf = &none;
	err = conf_check(conf);
	if (err < 0)
		return err;
	err = instance_new(&farbus);
	if (err < 0)
		return err;
	err = settings_apply(farbus, conf);
	if (err == 0)
		err = instance_join(farbus, conf);
	if (err < 0) {
		service_stop(farbus);
		service_fini(farbus);
		instance_free(farbus);
		return err;
	}
	/* The opening thread can use the inline calls at once. */
	process_slot_self();
	*ret_farbus = farbus;
	return 0;
}

static bool links_drained_locked(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	for (uint32_t i = 0; i < farbus->link_top; i++)
		if (farbus->links[i].transport && farbus->links[i].queued)
			return false;
	return true;
}

static bool all_came(const void *arg)
{
	return core_all_came(arg);
}

/* A rank 0 that ends at once (a usage error, say) waits a little for ranks that are just joining. */
static void latecomers_wait(struct farbus *farbus)
{
	pthread_cond_t cond;

	cond_init_monotonic(&cond);
	lock_acquire(&farbus->lock);
	wait_until_locked(farbus, &cond, all_came, farbus->core, clock_now_ns() + JOIN_WAIT_NS);
	lock_release(&farbus->lock);
	pthread_cond_destroy(&cond);
}

static void goodbye(struct farbus *farbus)
{
	uint64_t until = clock_now_ns() + CLOSE_TIMEOUT_NS;
	bool drained;

	lock_acquire(&farbus->lock);
	core_goodbye(farbus->core);
	do {
		service_pump_locked(farbus);
		drained = links_drained_locked(farbus);
		if (!drained) {
			lock_release(&farbus->lock);
			sched_yield();
			lock_acquire(&farbus->lock);
		}
	} while (!drained && clock_now_ns() < until);
	lock_release(&farbus->lock);
}

static void regions_drop(struct farbus *farbus)
{
	struct farbus_region *region;

	lock_acquire(&farbus->lock);
	fabric_hide_all_locked(farbus);
	while ((region = LIST_FIRST(&farbus->regions))) {
		fabric_close_locked(region);
		region_close_locked(region, NS_PER_S);
		window_drop_locked(region);
		region_unregister_locked(farbus, region);
		region_free(region);
	}
	lock_release(&farbus->lock);
}

int farbus_close(struct farbus *farbus)
{
	int err;

	if (!farbus)
		return 0;
	err = process_check();
	if (err < 0)
		return err;
	if (farbus->boot)
		latecomers_wait(farbus);
	goodbye(farbus);
	service_stop(farbus);
	/* Who sees our links end counts on it that nothing here reaches its memory any more. */
	regions_drop(farbus);
	service_fini(farbus);
	instance_free(farbus);
	return 0;
}

int farbus_self(struct farbus *farbus, struct farbus_self *ret_self)
{
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!ret_self)
		return error_set(-EINVAL, "ret_self is NULL: nowhere to put the answer");
	*ret_self = farbus->self;
	return 0;
}

void farbus_abort(struct farbus *farbus, int exit_code, const char *why)
{
	log_error("abort(%d): %s", exit_code, why ? why : "no reason given");
	if (farbus && process_check() == 0) {
		lock_acquire(&farbus->lock);
		core_abort(farbus->core, exit_code, why ? why : "");
		service_pump_locked(farbus);
		boot_abort(farbus->boot, exit_code, why ? why : "");
		lock_release(&farbus->lock);
	}
	_exit(exit_code);
}

const char *farbus_last_error(void)
{
	return error_text();
}
