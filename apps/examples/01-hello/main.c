/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c -- hello: every rank writes a line into the memory of the next one */
#include <farbus/farbus.h>
#include <stdio.h>
#include <stdlib.h>
#define TRY(call) ((call) < 0 ? (puts(farbus_last_error()), exit(1)) : (void)0)
int main(void)
{
	struct farbus_self self;
	struct farbus *bus;
	struct farbus_region *mine, *next;
	struct farbus_token token;
	char name[32], line[64] = "";

	TRY(farbus_open(NULL, &bus));
	TRY(farbus_self(bus, &self));
	TRY(farbus_region_alloc(bus, 4096, 0, &mine));
	TRY(farbus_region_grant(mine, 0, 4096, FARBUS_R | FARBUS_W, NULL, &token));
	snprintf(name, sizeof(name), "hello.%u", self.rank);
	TRY(farbus_publish(bus, name, &token));
	snprintf(name, sizeof(name), "hello.%u", (self.rank + 1) % self.size);
	TRY(farbus_lookup(bus, name, FARBUS_TIMEOUT_DEFAULT, &token));
	TRY(farbus_region_import(bus, &token, FARBUS_TIMEOUT_DEFAULT, &next));
	snprintf(line, sizeof(line), "hello from rank %u of %u", self.rank, self.size);
	TRY(farbus_put(next, 0, line, sizeof(line)));
	TRY(farbus_barrier(bus, FARBUS_TIMEOUT_DEFAULT));
	TRY(farbus_get(mine, 0, line, sizeof(line)));
	printf("rank %u was told: %s\n", self.rank, line);
	return farbus_close(bus) < 0;
}
