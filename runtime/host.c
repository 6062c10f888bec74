/* SPDX-License-Identifier: BSD-3-Clause */
/* host.c -- which host this process is on: boot id and network namespace */
#include "runtime/host.h"

#include "base/log.h"
#include "base/mac.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_TEXT_MAX 320

static void file_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, size - 1) : 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
}

void host_name(const char *node, uint8_t ret_name[HOST_NAME_SIZE])
{
	char text[HOST_TEXT_MAX], boot[64];
	uint8_t key[MAC_KEY_SIZE];
	struct stat st = { 0 };

	if (node[0]) {
		snprintf(text, sizeof(text), "node %s", node);
	} else {
		file_text("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
		if (stat("/proc/self/ns/net", &st) < 0)
			log_info(
				"no network namespace to be seen: the boot id alone names the host");
		snprintf(text, sizeof(text), "boot %s net %llu", boot,
			 (unsigned long long)st.st_ino);
	}
	mac_key_derive(text, strlen(text), key);
	memcpy(ret_name, key, HOST_NAME_SIZE);
}
