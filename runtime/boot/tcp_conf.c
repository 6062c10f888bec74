/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_conf.c -- the settings of FARBUS_JOIN, checked; the job's secret */
#include "runtime/boot/tcp_conf.h"

#include "base/error.h"
#include "runtime/boot/tcp_server.h"
#include "runtime/boot/tcp_wire.h"
#include "runtime/boot/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int numbers_load(const struct config *config, struct tcp_conf *conf)
{
	int64_t n;

	conf->rank = TCP_RANK_ANY;
	conf->size = 0;
	if (config->size[0]) {
		if (wire_number_parse(config->size, 1, TCP_SIZE_MAX, &n) < 0)
			return error_set(-EINVAL, "FARBUS_SIZE=%.40s: give a number from 1 to %d",
					 config->size, TCP_SIZE_MAX);
		conf->size = (uint32_t)n;
	}
	if (config->rank[0]) {
		if (wire_number_parse(config->rank, 0, TCP_SIZE_MAX - 1, &n) < 0)
			return error_set(-EINVAL, "FARBUS_RANK=%.40s: give a number from 0 to %d",
					 config->rank, TCP_SIZE_MAX - 1);
		conf->rank = (uint32_t)n;
	}
	if (conf->rank == 0 && conf->size == 0)
		return error_set(-EINVAL, "FARBUS_RANK=0 without FARBUS_SIZE: rank 0 has to know "
					  "how many ranks the job has");
	if (conf->rank != TCP_RANK_ANY && conf->size && conf->rank >= conf->size)
		return error_set(-EINVAL, "FARBUS_RANK=%u: give 0 to FARBUS_SIZE - 1 = %u",
				 conf->rank, conf->size - 1);
	return 0;
}

static int secret_use(const char *secret, size_t len, const char *setting, struct tcp_conf *conf)
{
	if (len < TCP_SECRET_LEAST)
		return error_set(-EINVAL,
				 "%s: a secret of %zu bytes is guessed too soon: give at least "
				 "%d, better what openssl rand -hex 16 prints",
				 setting, len, TCP_SECRET_LEAST);
	mac_key_derive(secret, len, conf->key);
	conf->has_secret = true;
	return 0;
}

static int secret_file_check(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(-EINVAL, "FARBUS_SECRET_FILE=%.100s is no file", path);
	if (st.st_mode & 077)
		return error_set(-EACCES,
				 "FARBUS_SECRET_FILE=%.100s has mode %03o, so others can use it: "
				 "chmod 600 it, and make a new secret if somebody may have",
				 path, (unsigned int)st.st_mode & 0777);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return error_set(-EACCES,
				 "FARBUS_SECRET_FILE=%.100s belongs to user %u, who can change "
				 "it: use a file of your own",
				 path, (unsigned int)st.st_uid);
	return 0;
}

static int secret_file_load(const char *path, struct tcp_conf *conf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char secret[TCP_SECRET_MAX + 1];
	ssize_t n;
	int err;

	if (fd < 0)
		return error_set(errno == EACCES ? -EACCES : -EINVAL,
				 "FARBUS_SECRET_FILE=%.100s cannot be read: %s", path,
				 strerror(errno));
	err = secret_file_check(fd, path);
	if (err < 0)
		goto close_fd;
	n = read(fd, secret, sizeof(secret));
	if (n < 0 || n > TCP_SECRET_MAX) {
		err = error_set(-EINVAL,
				"FARBUS_SECRET_FILE=%.100s: give one line of up to %d "
				"bytes",
				path, TCP_SECRET_MAX);
		goto wipe;
	}
	while (n > 0 && (secret[n - 1] == '\n' || secret[n - 1] == '\r'))
		n--;
	err = secret_use(secret, (size_t)n, "FARBUS_SECRET_FILE", conf);
wipe:
	mac_wipe(secret, sizeof(secret));
close_fd:
	close(fd);
	return err;
}

static int secret_load(const struct config *config, struct tcp_conf *conf)
{
	static const char nobodys[] = "farbus: no secret";

	conf->has_secret = false;
	if (config->secret[0] && config->secret_file[0])
		return error_set(-EINVAL, "FARBUS_SECRET and FARBUS_SECRET_FILE are both set: "
					  "give one");
	if (config->secret_file[0])
		return secret_file_load(config->secret_file, conf);
	if (config->secret[0])
		return secret_use(config->secret, strlen(config->secret), "FARBUS_SECRET", conf);
	mac_key_derive(nobodys, sizeof(nobodys), conf->key);
	return 0;
}

int tcp_conf_load(const struct config *config, struct tcp_conf *ret_conf)
{
	struct tcp_conf conf;
	int err;

	memset(&conf, 0, sizeof(conf));
	err = tcp_place_parse(config->join, &conf.place);
	if (err == 0)
		err = numbers_load(config, &conf);
	if (err == 0)
		err = secret_load(config, &conf);
	if (err < 0)
		return err;
	host_name(config->node, conf.host);
	*ret_conf = conf;
	mac_wipe(conf.key, sizeof(conf.key));
	return 0;
}

int tcp_conf_allows(const struct tcp_conf *conf, const struct addrinfo *list)
{
	char where[TCP_PEER_MAX];

	for (const struct addrinfo *at = list; at && !conf->has_secret; at = at->ai_next) {
		if (tcp_is_loopback(at->ai_addr))
			continue;
		tcp_peer_text(at->ai_addr, at->ai_addrlen, where);
		return error_set(-EINVAL,
				 "FARBUS_JOIN leads to %s, where others can connect: without a "
				 "secret only loopback addresses (127.0.0.1, [::1]) are taken; "
				 "give all ranks the same FARBUS_SECRET_FILE",
				 where);
	}
	return 0;
}
