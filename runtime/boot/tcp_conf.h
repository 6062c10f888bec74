/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_conf.h -- the settings of FARBUS_JOIN, checked; the job's secret */
#ifndef RUNTIME_BOOT_TCP_CONF_H
#define RUNTIME_BOOT_TCP_CONF_H

#include "base/config.h"
#include "base/mac.h"
#include "runtime/boot/tcp_net.h"
#include "runtime/host.h"

#define TCP_SECRET_MAX 4096 /* bytes of a secret file */
#define TCP_SECRET_LEAST 8

struct tcp_conf {
	struct tcp_place place;
	uint32_t rank; /* or TCP_RANK_ANY */
	uint32_t size; /* 0: rank 0 knows it */
	bool has_secret;
	uint8_t key[MAC_KEY_SIZE]; /* from the secret, or one that everybody knows */
	uint8_t host[HOST_NAME_SIZE];
};

/*
 * Errors: -EINVAL, the text names the setting; -EACCES a secret file that others may read, or that
 * we may not. Threads: any thread.
 */
int tcp_conf_load(const struct config *config, struct tcp_conf *ret_conf);
/* Without a secret, nobody outside of this host may see the job. Errors: -EINVAL. */
int tcp_conf_allows(const struct tcp_conf *conf, const struct addrinfo *list);

#endif
