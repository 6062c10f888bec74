/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ram.c -- the files behind the RAM of a guest of QEMU
 *
 * QMP names the backends. A file has its path there; a memfd has none, and is looked for among the
 * descriptors of QEMU: it has to be the only one of its size.
 */
#include "apps/farbus-migrate/ram.h"

#include "base/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_check(struct ram *ram, const char *path)
{
	struct stat stat;

	if (ram->fd < 0)
		return error_set(-ENOENT,
				 "RAM %s: %.150s: %s; farbus-migrate has to run as QEMU's user",
				 ram->name, path, strerror(errno));
	if (fstat(ram->fd, &stat) < 0 || (uint64_t)stat.st_size < ram->len)
		return error_set(-ERANGE, "RAM %s: %.150s has %lld bytes, the backend %llu",
				 ram->name, path, (long long)stat.st_size,
				 (unsigned long long)ram->len);
	ram->dev = stat.st_dev;
	ram->ino = stat.st_ino;
	ram->zero = lseek(ram->fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
	return 0;
}

/* Opens the only memfd of that size. Leaves fd at -1 if there is none, or more than one. */
static void memfd_find(struct ram *ram, pid_t pid)
{
	char path[64], target[512], found[512] = "";
	struct dirent *entry;
	struct stat stat;
	int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		char at[512];
		ssize_t len;

		snprintf(at, sizeof(at), "%s/%s", path, entry->d_name);
		len = readlink(at, target, sizeof(target) - 1);
		target[len > 0 ? len : 0] = '\0';
		if (strncmp(target, "/memfd:memory-backend-memfd", 27) != 0 ||
		    fstatat(AT_FDCWD, at, &stat, 0) < 0 || (uint64_t)stat.st_size != ram->len)
			continue;
		memcpy(found, at, sizeof(found));
		count++;
	}
	if (dir)
		closedir(dir);
	ram->fd = count == 1 ? open(found, O_RDWR | O_CLOEXEC) : -1;
}

static bool shared(struct qmp *qmp, const char *name)
{
	json_t *value;
	bool is;

	if (qmp_property(qmp, name, "share", &value) < 0)
		return false;
	is = json_is_true(value);
	json_decref(value);
	return is;
}

static int open_backend(struct qmp *qmp, const struct options *options, struct ram *ram)
{
	json_t *value;
	int err;

	for (uint32_t i = 0; i < options->ram_count; i++)
		if (strcmp(options->ram[i].name, ram->name) == 0) {
			ram->fd = open(options->ram[i].path, O_RDWR | O_CLOEXEC);
			return file_check(ram, options->ram[i].path);
		}
	if (!shared(qmp, ram->name))
		return 0;
	if (qmp_property(qmp, ram->name, "mem-path", &value) < 0) {
		memfd_find(ram, qmp->pid);
		return ram->fd < 0 ? 0 : file_check(ram, "a memfd");
	}
	ram->fd =
		open(json_string_value(value) ? json_string_value(value) : "", O_RDWR | O_CLOEXEC);
	err = file_check(ram, json_string_value(value) ? json_string_value(value) : "?");
	json_decref(value);
	return err;
}

int ram_find(struct qmp *qmp, const struct options *options, struct ram *ret_ram,
	     uint32_t *ret_count)
{
	json_t *list, *item;
	uint32_t count = 0;
	size_t i;
	int err = qmp_call(qmp, "query-memdev", NULL, &list);
	if (err < 0)
		return err;
	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(json_object_get(item, "id"));
		struct ram *ram = &ret_ram[count];

		if (!name || strlen(name) >= RAM_NAME_MAX || count == OPTIONS_RAM_MAX)
			continue;
		*ram = (struct ram){ .fd = -1 };
		memcpy(ram->name, name, strlen(name));
		ram->len = (uint64_t)json_integer_value(json_object_get(item, "size"));
		err = open_backend(qmp, options, ram);
		count++;
		if (err < 0)
			break;
	}
	json_decref(list);
	if (err < 0)
		ram_close(ret_ram, count);
	else
		*ret_count = count;
	return err;
}

void ram_close(struct ram *ram, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (ram[i].fd >= 0)
			close(ram[i].fd);
}
