/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * migrate_guest.c -- the only program of the guest: writes pages at a known rate, and says so
 *
 * FILL megabytes are filled once. Then "rate=" pages per second of a working set of SET megabytes get
 * a new sequence number in every word, and each second a line "TICK number" goes to the console: a
 * guest that goes back in time says a smaller number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define FILL (96u << 20)
#define SET (32u << 20)
#define PAGE 4096u
#define SLICE 50 /* pieces of a second */

static unsigned long rate_find(void)
{
	FILE *file = fopen("/proc/cmdline", "r");
	char line[1024] = "";
	const char *at = NULL;

	if (file && fgets(line, sizeof(line), file))
		at = strstr(line, "rate=");
	return at ? strtoul(at + 5, NULL, 10) : 2000;
}

static void pages_write(uint64_t *memory, uint64_t *sequence, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		uint64_t *page = memory + *sequence % (SET / PAGE) * (PAGE / 8);

		++*sequence;
		for (uint32_t word = 0; word < PAGE / 8; word += 64)
			page[word] = *sequence;
	}
}

int main(void)
{
	struct timespec slice = { 0, 1000000000 / SLICE };
	unsigned long rate;
	uint64_t *memory, sequence = 0;

	mount("none", "/proc", "proc", 0, "");
	mount("none", "/dev", "devtmpfs", 0, "");
	rate = rate_find();
	memory = mmap(NULL, FILL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		printf("GUEST FAILED: %s\n", strerror(errno));
		fflush(stdout);
		pause();
	}
	for (uint64_t i = 0; i < FILL / 8; i += PAGE / 8)
		memory[i] = i + 1;
	printf("GUEST READY\n");
	for (int i = 0;; i++) {
		pages_write(memory, &sequence, rate / SLICE);
		if (i % SLICE == 0) {
			printf("TICK %llu\n", (unsigned long long)sequence);
			fflush(stdout);
		}
		nanosleep(&slice, NULL);
	}
}
