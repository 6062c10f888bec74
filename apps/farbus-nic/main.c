/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- farbus-nic: network devices for virtual machines
 *
 * One thread, asleep in epoll while there is nothing to do.
 */
#include "apps/common/tool.h"
#include "apps/farbus-nic/device.h"
#include "apps/farbus-nic/place.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mac.h"
#include "base/process.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TOOL "farbus-nic"

struct nic {
	struct options options;
	struct loop loop;
	struct device device[OPTIONS_DEVICE_MAX];
	uint32_t device_count;
	struct watch signals, timer;
	bool ends, failed;
};

static void stats_print(struct nic *nic)
{
	json_t *document = json_object(), *devices = json_array();

	for (uint32_t i = 0; i < nic->device_count; i++)
		json_array_append_new(devices, device_stats(&nic->device[i]));
	json_object_set_new(document, "devices", devices);
	if (tool_json_print(document) < 0 || fflush(stdout) != 0)
		nic->failed = true;
	json_decref(document);
}

static void signal_ready(void *arg)
{
	struct signalfd_siginfo info;
	struct nic *nic = arg;

	if (read(nic->signals.fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		stats_print(nic);
	else
		nic->ends = true;
}

static void timer_ready(void *arg)
{
	struct nic *nic = arg;
	uint64_t count;

	if (read(nic->timer.fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		stats_print(nic);
}

static int signals_watch(struct nic *nic)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	nic->signals = (struct watch){ signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), signal_ready,
				       nic, false };
	if (nic->signals.fd < 0)
		return error_set(-EMFILE, "no descriptor for signals: %s", strerror(errno));
	return loop_add(&nic->loop, &nic->signals);
}

static int timer_watch(struct nic *nic)
{
	uint64_t ns = (uint64_t)(nic->options.stats_s * 1e9);
	struct timespec every = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
	struct itimerspec when = { every, every };

	if (ns == 0)
		return 0;
	nic->timer = (struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
				     timer_ready, nic, false };
	if (nic->timer.fd < 0)
		return error_set(-EMFILE, "no descriptor for a timer: %s", strerror(errno));
	timerfd_settime(nic->timer.fd, 0, &when, NULL);
	return loop_add(&nic->loop, &nic->timer);
}

static int nic_open(struct nic *nic)
{
	int err = loop_open(&nic->loop);
	if (err < 0)
		return err;
	if (nic->options.core >= 0)
		err = place_on_core(nic->options.core);
	if (err == 0)
		err = signals_watch(nic);
	if (err == 0)
		err = timer_watch(nic);
	for (uint32_t i = 0; i < nic->options.device_count && err == 0; i++) {
		err = device_open(&nic->device[i], &nic->options, &nic->options.device[i],
				  &nic->loop);
		nic->device_count += err == 0;
	}
	return err;
}

static void nic_close(struct nic *nic)
{
	while (nic->device_count > 0)
		device_close(&nic->device[--nic->device_count]);
	if (nic->signals.fd >= 0)
		close(nic->signals.fd);
	if (nic->timer.fd >= 0)
		close(nic->timer.fd);
	loop_close(&nic->loop);
}

static void nic_serve(struct nic *nic)
{
	while (!nic->ends && !nic->failed) {
		bool more = false;

		for (uint32_t i = 0; i < nic->device_count; i++)
			more |= device_continue(&nic->device[i]);
		loop_run(&nic->loop, more ? 0 : -1);
	}
	if (nic->options.stats && !nic->failed)
		stats_print(nic);
}

/* Guests with many queues and pieces of memory have many descriptors. */
static void files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* FARBUS_LOG, as everywhere. */
static int log_setup(void)
{
	static const char *const level[] = { "error", "warning", "info", "debug" };
	struct config config;
	int err = config_load(&config);
	if (err < 0)
		return err;
	for (int i = 0; i < 4; i++)
		if (strcmp(config.log, level[i]) == 0) {
			log_open(i, 0);
			return 0;
		}
	return error_set(-EINVAL, "FARBUS_LOG=%s: give error, warning, info or debug", config.log);
}

int main(int argc, char **argv)
{
	static struct nic nic = { .loop = { -1 }, .signals = { .fd = -1 }, .timer = { .fd = -1 } };
	int err = options_parse(argc, argv, &nic.options);

	if (err > 0)
		return tool_close(TOOL, TOOL_EXIT_OK);
	if (err < 0) {
		tool_complain(TOOL);
		return TOOL_EXIT_USAGE;
	}
	files_raise();
	err = log_setup();
	if (err == 0)
		err = process_get(NULL);
	if (err == 0) {
		mac_random(&nic.options.net.seed, sizeof(nic.options.net.seed));
		err = nic_open(&nic);
		if (err == 0)
			nic_serve(&nic);
	}
	if (err < 0)
		tool_complain(TOOL);
	nic_close(&nic);
	return tool_close(TOOL, err < 0 || nic.failed ? TOOL_EXIT_FAILED : TOOL_EXIT_OK);
}
