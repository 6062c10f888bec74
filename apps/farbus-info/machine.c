/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.c -- limits of this machine, user and container that decide what farbus can do here */
#include "apps/farbus-info/machine.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

#define VALUE_SIZE 160
#define HUGE_PAGE ((size_t)2 << 20)
#define FILES_GOOD 1024 /* a region, an import or a link take one or two each */
#define HUGE_FOLDER "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static void row_add(json_t *list, const char *name, const char *value, bool good,
		    const char *meaning)
{
	json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:s}", "name", name, "value", value,
					      "good", good, "meaning", meaning));
}

static void limit_text(rlim_t limit, char *text, size_t size)
{
	if (limit == RLIM_INFINITY)
		snprintf(text, size, "unlimited");
	else
		snprintf(text, size, "%llu", (unsigned long long)limit);
}

/* Good: the soft limit is at least least. */
static void limit_add(json_t *list, const char *name, int resource, rlim_t least,
		      const char *meaning)
{
	char value[VALUE_SIZE], soft[32], hard[32];
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return;
	limit_text(limit.rlim_cur, soft, sizeof(soft));
	limit_text(limit.rlim_max, hard, sizeof(hard));
	snprintf(value, sizeof(value), "%s of %s", soft, hard);
	row_add(list, name, value, limit.rlim_cur >= least, meaning);
}

static void kernel_add(json_t *list)
{
	struct utsname name;
	char value[VALUE_SIZE];

	if (uname(&name) < 0)
		return;
	snprintf(value, sizeof(value), "%.100s %.50s", name.release, name.machine);
	row_add(list, "kernel", value, true, "5.3 or later (pidfd_open)");
}

static void cpus_add(json_t *list)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	char value[VALUE_SIZE];
	cpu_set_t set;
	int here = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;

	snprintf(value, sizeof(value), "%d of %ld", here, online);
	row_add(list, "cpus", value, here > 1,
		"instances that have no CPU of their own never spin while they wait");
}

static void membarrier_add(json_t *list)
{
	const int need = MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_GLOBAL_EXPEDITED;
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	bool good = commands >= 0 && (commands & need) == need;

	row_add(list, "membarrier",
		good	     ? "expedited" :
		commands < 0 ? strerror(errno) :
			       "not expedited",
		good, "required: Linux 4.16, and a sandbox that allows membarrier(2)");
}

static void memfd_add(json_t *list)
{
	int fd = memfd_create("farbus-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	row_add(list, "memfd", fd >= 0 ? "works" : strerror(errno), fd >= 0,
		"required for every region: a sandbox that allows memfd_create(2)");
	if (fd >= 0)
		close(fd);
}

static unsigned long file_number(const char *path)
{
	unsigned long value = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

/* Reserved huge pages: mapping one reserves it, or fails, without touching it. */
static void huge_add(json_t *list)
{
	int fd = memfd_create("farbus-probe", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	char value[VALUE_SIZE];
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)HUGE_PAGE) == 0)
		map = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	snprintf(value, sizeof(value), "%lu free of %lu", file_number(HUGE_FOLDER "free_hugepages"),
		 file_number(HUGE_FOLDER "nr_hugepages"));
	row_add(list, "huge pages", value, map != MAP_FAILED,
		"for FARBUS_REGION_HUGE: raise vm.nr_hugepages");
	if (map != MAP_FAILED)
		munmap(map, HUGE_PAGE);
	if (fd >= 0)
		close(fd);
}

/* "always within_size [advise] never": the word in brackets. */
static void transparent_add(json_t *list)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	char line[128] = "", *word, *end;
	FILE *file = fopen(path, "re");

	if (!file || !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	word = strchr(line, '[');
	end = word ? strchr(word, ']') : NULL;
	if (end)
		*end = '\0';
	row_add(list, "transparent huge", end ? word + 1 : "not built in",
		end && strcmp(word + 1, "never") != 0 && strcmp(word + 1, "deny") != 0,
		"huge pages of a memfd without reserving: set shmem_enabled to advise");
}

static void memory_add(json_t *list)
{
	unsigned long long kib = 0;
	char line[160], value[VALUE_SIZE];
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	snprintf(value, sizeof(value), "%llu MiB", kib >> 10);
	row_add(list, "memory", value, kib > 0, "free for regions, which are allocated in full");
}

json_t *machine_new(void)
{
	json_t *list = json_array();

	kernel_add(list);
	cpus_add(list);
	memory_add(list);
	membarrier_add(list);
	memfd_add(list);
	huge_add(list);
	transparent_add(list);
	limit_add(list, "nofile", RLIMIT_NOFILE, FILES_GOOD,
		  "descriptors: a region, an import or a link take one or two; ulimit -n");
	limit_add(list, "memlock", RLIMIT_MEMLOCK, RLIM_INFINITY,
		  "bytes: only for transports that pin memory, shm does not; ulimit -l");
	limit_add(list, "fsize", RLIMIT_FSIZE, RLIM_INFINITY,
		  "bytes: the largest region; ulimit -f unlimited");
	limit_add(list, "address space", RLIMIT_AS, RLIM_INFINITY,
		  "bytes: imports and windows take address space; ulimit -v unlimited");
	return list;
}
