/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.c -- what farbus-stat is pointed at, as open counter files
 *
 * Run directories are where farbus-run makes them (apps/farbus-run/rundir.c): farbus-XXXXXX in
 * XDG_RUNTIME_DIR, /run/user/UID, TMPDIR or /tmp. An instance without one keeps its counters in a
 * memfd, which /proc/PID/fd shows to the same user.
 */
#include "apps/farbus-stat/target.h"

#include "apps/common/live.h"
#include "apps/common/tool.h"
#include "base/alloc.h"
#include "base/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_PREFIX "counters."
#define DIR_PREFIX "farbus-"
#define MEMFD_LINK "/memfd:farbus-counters"

static int open_refused(const char *name, int error)
{
	bool denied = error == EACCES || error == EPERM;

	return error_set(denied		 ? -EACCES :
			 error == ENOENT ? -ENOENT :
					   -EIO,
			 "%.200s: cannot be opened: %s; %s", name, strerror(error),
			 denied ? "only its owner and root may read it" :
				  "give a PID, a counters.PID file or a directory of them");
}

/* Takes fd. The same file twice is one target. */
static int target_add(struct targets *targets, const char *name, int fd)
{
	struct target *target;
	int err;

	if (targets->count == TARGET_MAX) {
		close(fd);
		return error_set(-ENOSPC, "more than %d counter files: name fewer", TARGET_MAX);
	}
	if (targets->count == targets->room) {
		struct target **more =
			alloc_resize(targets->target, targets->room + 64, sizeof(struct target *));

		if (!more)
			goto no_memory;
		targets->target = more;
		targets->room += 64;
	}
	target = alloc_zero(sizeof(*target));
	if (!target)
		goto no_memory;
	target->fd = fd;
	target->name = alloc_text(name);
	err = target->name ? target_read(target) : error_set(-ENOMEM, "no memory for %.200s", name);
	if (err < 0) {
		close(fd);
		free(target->name);
		free(target);
		return err;
	}
	targets->target[targets->count++] = target;
	return 0;

no_memory:
	close(fd);
	return error_set(-ENOMEM, "no memory for %.200s", name);
}

static bool same_file(int a, int b)
{
	struct stat left, right;

	return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_dev == right.st_dev &&
	       left.st_ino == right.st_ino;
}

static bool known(const struct targets *targets, int fd)
{
	for (size_t i = 0; i < targets->count; i++)
		if (same_file(targets->target[i]->fd, fd))
			return true;
	return false;
}

/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
static int file_add(struct targets *targets, const char *name, int flags)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
	struct stat stat;

	if (fd < 0)
		return open_refused(name, errno);
	if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
		close(fd);
		return error_set(-EPROTO,
				 "%.200s: not a file; give a PID, a counters.PID file or a "
				 "directory of them",
				 name);
	}
	if (known(targets, fd)) {
		close(fd);
		return 0;
	}
	return target_add(targets, name, fd);
}

static int counters_filter(const struct dirent *entry)
{
	uint64_t pid;

	return strncmp(entry->d_name, FILE_PREFIX, strlen(FILE_PREFIX)) == 0 &&
	       tool_number_parse(entry->d_name + strlen(FILE_PREFIX), 1, INT_MAX, &pid);
}

static int rundir_filter(const struct dirent *entry)
{
	return strncmp(entry->d_name, DIR_PREFIX, strlen(DIR_PREFIX)) == 0;
}

/* Processes begin and jobs end while we look around: such a file is left out. */
static bool passing(int err)
{
	return err == -ENOENT || err == -EAGAIN;
}

/* All counters.PID in a directory. Goes on after a bad one; *ret_count counts good and bad. */
static int directory_add(struct targets *targets, const char *dir, void (*complaint)(void),
			 size_t *ret_count)
{
	struct dirent **list;
	int n = scandir(dir, &list, counters_filter, versionsort), first = 0;

	if (n < 0)
		return open_refused(dir, errno);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		int err;

		err = snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name) <
				      (int)sizeof(path) ?
			      file_add(targets, path, O_NOFOLLOW) :
			      open_refused(dir, ENAMETOOLONG);
		if (passing(err))
			error_clear();
		else if (err < 0 && complaint)
			complaint();
		else if (err < 0 && first == 0)
			first = err;
		free(list[i]);
	}
	free(list);
	*ret_count += (size_t)n;
	return first;
}

/* Is this descriptor of a process its page? ret_name is what to call it. */
static bool page_link(const char *path, uint64_t pid, char ret_name[PATH_MAX])
{
	char own[64];
	ssize_t n = readlink(path, ret_name, PATH_MAX - 1);

	if (n <= 0)
		return false;
	ret_name[n] = '\0';
	if (strncmp(ret_name, MEMFD_LINK, strlen(MEMFD_LINK)) == 0) {
		snprintf(ret_name, PATH_MAX, "memory of %llu", (unsigned long long)pid);
		return true;
	}
	snprintf(own, sizeof(own), "/%s%llu", FILE_PREFIX, (unsigned long long)pid);
	return strstr(ret_name, own) != NULL;
}

/* The page that a live process has open. Errors: -ENOENT it has none, or is none of ours. */
static int process_add(struct targets *targets, uint64_t pid)
{
	char dir[64], path[72 + NAME_MAX], name[PATH_MAX];
	struct dirent *entry;
	int err = -ENOENT, fd;
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%llu/fd", (unsigned long long)pid);
	fds = opendir(dir);
	if (!fds)
		return -ENOENT;
	while (err == -ENOENT && (entry = readdir(fds))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (!page_link(path, pid, name))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			continue;
		err = known(targets, fd) ? (close(fd), 0) : target_add(targets, name, fd);
		err = err == -EPROTO || err == -EAGAIN ? -ENOENT :
							 err; /* something else of that name */
	}
	closedir(fds);
	return err;
}

/* Calls fn for each run directory of this user. */
static void rundirs_each(void (*fn)(const char *dir, void *arg), void *arg)
{
	char run_user[64], tmp[] = "/tmp";
	const char *parent[] = { getenv("XDG_RUNTIME_DIR"), run_user, getenv("TMPDIR"), tmp };

	snprintf(run_user, sizeof(run_user), "/run/user/%u", (unsigned int)getuid());
	for (size_t i = 0; i < sizeof(parent) / sizeof(parent[0]); i++) {
		struct dirent **list;
		int n;

		if (!parent[i] || parent[i][0] != '/')
			continue;
		n = scandir(parent[i], &list, rundir_filter, alphasort);
		for (int j = 0; j < n; j++) {
			char path[PATH_MAX];
			struct stat stat;

			if (snprintf(path, sizeof(path), "%s/%s", parent[i], list[j]->d_name) <
				    (int)sizeof(path) &&
			    lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode) &&
			    stat.st_uid == getuid())
				fn(path, arg);
			free(list[j]);
		}
		if (n >= 0)
			free(list);
	}
}

struct dead_find {
	struct targets *targets;
	uint64_t pid;
	int err;
};

static void dead_try(const char *dir, void *arg)
{
	struct dead_find *find = arg;
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s%llu", dir, FILE_PREFIX, (unsigned long long)find->pid);
	if (access(path, F_OK) == 0)
		find->err = file_add(find->targets, path, O_NOFOLLOW);
}

static int pid_add(struct targets *targets, uint64_t pid)
{
	struct dead_find find = { targets, pid, -ENOENT };
	char proc[64];
	int err = process_add(targets, pid);

	if (err != -ENOENT)
		return err;
	rundirs_each(dead_try, &find);
	if (find.err != -ENOENT)
		return find.err;
	snprintf(proc, sizeof(proc), "/proc/%llu", (unsigned long long)pid);
	if (access(proc, F_OK) == 0)
		return error_set(-ENOENT,
				 "process %llu has no farbus open, or belongs to somebody else; "
				 "farbus-info lists instances",
				 (unsigned long long)pid);
	return error_set(-ENOENT,
			 "no process %llu, and it left no counter file; farbus-run --keep keeps "
			 "them, and a FILE or DIR may be given",
			 (unsigned long long)pid);
}

int targets_add(struct targets *targets, const char *argument)
{
	struct stat stat_;
	size_t count = 0;
	uint64_t pid;
	int err;

	if (tool_number_parse(argument, 1, INT_MAX, &pid))
		return pid_add(targets, pid);
	if (stat(argument, &stat_) < 0)
		return open_refused(argument, errno);
	if (!S_ISDIR(stat_.st_mode))
		return file_add(targets, argument, 0);
	err = directory_add(targets, argument, NULL, &count);
	if (err == 0 && count == 0)
		return error_set(-ENOENT,
				 "%.200s: no counters.PID in it; give the directory that "
				 "farbus-run --keep names",
				 argument);
	return err;
}

struct all_find {
	struct targets *targets;
	void (*complaint)(void);
};

static void all_try(const char *dir, void *arg)
{
	struct all_find *find = arg;
	size_t count = 0;

	int err = directory_add(find->targets, dir, find->complaint, &count);

	if (passing(err))
		error_clear();
	else if (err < 0)
		find->complaint();
}

void targets_add_all(struct targets *targets, void (*complaint)(void))
{
	struct all_find find = { targets, complaint };
	struct live *list = NULL;
	size_t count = 0;

	rundirs_each(all_try, &find);
	if (live_list("/proc/net/unix", &list, &count) < 0)
		complaint();
	/* Those of other users are not ours to open, and so do not count as a failure. */
	for (size_t i = 0; i < count; i++)
		if (i == 0 || list[i].pid != list[i - 1].pid)
			if (process_add(targets, (uint64_t)list[i].pid) < 0)
				error_clear();
	free(list);
}

/* A process is the one that wrote this file if it has it open; its number may be another's now. */
static enum target_state state_find(int fd, uint32_t pid)
{
	enum target_state state = TARGET_DEAD;
	struct stat mine, theirs;
	struct dirent *entry;
	char dir[64];
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%u/fd", pid);
	fds = opendir(dir);
	if (!fds)
		return errno == ENOENT ? TARGET_DEAD : TARGET_UNKNOWN;
	if (fstat(fd, &mine) < 0)
		state = TARGET_UNKNOWN;
	while (state == TARGET_DEAD && (entry = readdir(fds)))
		if (fstatat(dirfd(fds), entry->d_name, &theirs, 0) == 0 &&
		    theirs.st_dev == mine.st_dev && theirs.st_ino == mine.st_ino)
			state = TARGET_LIVE;
	closedir(fds);
	return state;
}

int target_read(struct target *target)
{
	enum target_state state;
	struct counterfile file;
	int err = counterfile_read(target->name, target->fd, &file);

	if (err < 0)
		return err;
	state = state_find(target->fd, file.pid);
	/* Again: it may have counted between the reading and its end. */
	if (state == TARGET_DEAD)
		err = counterfile_read(target->name, target->fd, &file);
	if (err < 0)
		return err;
	target->file = file;
	target->state = state;
	return 0;
}

void targets_free(struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		close(targets->target[i]->fd);
		free(targets->target[i]->name);
		free(targets->target[i]);
	}
	free(targets->target);
	memset(targets, 0, sizeof(*targets));
}
