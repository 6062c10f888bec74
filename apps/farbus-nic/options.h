/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- the command line of farbus-nic */
#ifndef APPS_FARBUS_NIC_OPTIONS_H
#define APPS_FARBUS_NIC_OPTIONS_H

#include "nicdrv/virtio/vhost_net.h"

#define OPTIONS_DEVICE_MAX 16 /* sockets of a process */
#define OPTIONS_SECONDS_MAX 86400

struct options_device {
	const char *socket, *port; /* borrow argv */
};

struct options {
	struct options_device device[OPTIONS_DEVICE_MAX];
	uint32_t device_count;
	struct vhost_net_conf net; /* of all of them; the seed is the caller's */
	const char *capture;	   /* NULL: none */
	double stats_s;		   /* 0: only when asked */
	bool stats;		   /* at the end, at least */
	int core;		   /* -1: not bound */
};

/* Results borrow argv. 1: help or version was printed. Errors: -EINVAL; error_text() says what. */
int options_parse(int argc, char **argv, struct options *ret_options);

#endif
