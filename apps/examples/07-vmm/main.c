/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- a small virtual machine monitor: its guest moves between two instances while it runs
 *
 * Two ranks. Rank 0 starts a guest that writes its memory at a known rate; then the guest moves to
 * rank 1, back, and so on. Each time the source stops it, it copies the memory aside; the
 * destination compares its own with that copy, page by page, before the guest goes on. At the end
 * the memory is computed again from the guest's state alone.
 */
#include "apps/examples/07-vmm/guest.h"
#include "apps/examples/common/example.h"

#include <errno.h>
#include <farbus/vm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define WAIT_MS 60000
#define SEED 12345u

struct options {
	uint64_t ram_mib, rate, moves;
	bool lose;
	const char *guest;
};

struct vmm {
	struct farbus *bus;
	struct farbus_self self;
	struct options options;
	const struct guest_ops *ops;
	struct guest *guest;
	struct farbus_region *ram_region, *peer_image;
	uint8_t *ram, *image; /* image: of the guest, when it was last stopped here */
	uint8_t *alias;	      /* a second mapping of ram */
	size_t len;
	struct guest_state state;
	bool arriving;
	uint64_t differ; /* pages that differed when the guest arrived here */
};

/* The pages it writes: a power of two, from GUEST_DATA on. */
static uint32_t guest_pages(const struct vmm *vmm)
{
	uint32_t count = 1;

	while ((uint64_t)count * 2 * GUEST_PAGE <= vmm->len - GUEST_DATA)
		count *= 2;
	return count;
}

/* ---- what farbus asks of a VMM ---- */

static int vm_pause(void *arg)
{
	struct vmm *vmm = arg;
	int err = vmm->ops->pause(vmm->guest);

	/* --lose: a write that no log sees, to a page that was sent and that the guest never writes. */
	if (vmm->options.lose)
		vmm->alias[0] ^= 0xff;
	memcpy(vmm->image, vmm->ram, vmm->len);
	return err;
}

static int vm_save(void *arg, const void **ret_state, size_t *ret_len)
{
	struct vmm *vmm = arg;

	vmm->ops->get(vmm->guest, &vmm->state);
	vmm->state.kind = vmm->ops->kind;
	*ret_state = &vmm->state;
	*ret_len = sizeof(vmm->state);
	return 0;
}

/* Where the guest writes is in its state, which another process sent: never outside its memory. */
static int vm_load(void *arg, const void *state, size_t len)
{
	struct vmm *vmm = arg;

	if (len != sizeof(vmm->state))
		return -EPROTO;
	memcpy(&vmm->state, state, len);
	if (vmm->state.mask != guest_pages(vmm) - 1 || vmm->state.kind != vmm->ops->kind)
		return -EPROTO;
	vmm->ops->set(vmm->guest, &vmm->state);
	return 0;
}

static uint64_t pages_differ(struct vmm *vmm)
{
	uint8_t page[GUEST_PAGE];
	uint64_t differ = 0;

	for (size_t off = 0; off < vmm->len; off += GUEST_PAGE) {
		TRY(farbus_get(vmm->peer_image, off, page, sizeof(page)));
		differ += memcmp(page, vmm->ram + off, sizeof(page)) != 0;
	}
	return differ;
}

static int vm_resume(void *arg)
{
	struct vmm *vmm = arg;

	if (vmm->arriving)
		vmm->differ = pages_differ(vmm);
	return vmm->ops->run(vmm->guest);
}

static const struct farbus_vm_ops vm_ops = {
	.pause = vm_pause,
	.resume = vm_resume,
	.state_save = vm_save,
	.state_load = vm_load,
};

/* ---- one move ---- */

static void let_run(void)
{
	struct timespec time = { .tv_nsec = 200000000 };

	nanosleep(&time, NULL);
}

static void report(const struct vmm *vmm, uint64_t move, const struct farbus_vm_stats *stats)
{
	printf("vmm: move %llu, from rank %u: %u rounds, %llu pages (%llu zero), %llu MiB of %llu; "
	       "stopped %llu us (predicted %llu, last pages %llu); %llu ms in all\n",
	       (unsigned long long)move, vmm->self.rank, stats->rounds,
	       (unsigned long long)stats->pages, (unsigned long long)stats->zero_pages,
	       (unsigned long long)stats->bytes >> 20, (unsigned long long)stats->ram_bytes >> 20,
	       (unsigned long long)stats->stop_us, (unsigned long long)stats->predicted_stop_us,
	       (unsigned long long)stats->copy_us, (unsigned long long)stats->total_us / 1000);
}

static void move(struct vmm *vmm, uint64_t number)
{
	bool source = (number - 1) % 2 == vmm->self.rank;
	struct farbus_vm_dirty log = { .start = vmm->ops->log_start,
				       .sync = vmm->ops->log_sync,
				       .stop = vmm->ops->log_stop,
				       .log = vmm->guest };
	struct farbus_vm_conf conf = { .slot = &vmm->ram_region,
				       .slot_count = 1,
				       .ops = &vm_ops,
				       .vm = vmm,
				       .dirty = &log,
				       .dirty_count = vmm->ops->log_sync ? 1 : 0,
				       .flags = vmm->ops->log_sync ? 0 : FARBUS_VM_SCAN };
	struct farbus_vm_stats stats;
	struct farbus_vm *vm;
	char name[32];

	if (number == 1) /* rank 1's memory is as new */
		conf.flags |= FARBUS_VM_ZERO;
	snprintf(name, sizeof(name), "guest.%llu", (unsigned long long)number);
	TRY(farbus_vm_open(vmm->bus, &conf, &vm));
	vmm->arriving = !source;
	if (source) {
		let_run();
		TRY(farbus_vm_send(vm, name, &stats));
		report(vmm, number, &stats);
	} else {
		TRY(farbus_vm_receive(vm, name, WAIT_MS, &stats));
		printf("vmm: move %llu, at rank %u: %llu of %llu pages differ\n",
		       (unsigned long long)number, vmm->self.rank, (unsigned long long)vmm->differ,
		       (unsigned long long)(vmm->len / GUEST_PAGE));
	}
	fflush(stdout);
	farbus_vm_close(vm);
}

/* ---- the program ---- */

/* What the guest must have written, computed from how far it is. */
static uint64_t words_wrong(struct vmm *vmm)
{
	uint32_t x = SEED, mask = guest_pages(vmm) - 1;
	uint64_t wrong = 0;

	vmm->ops->get(vmm->guest, &vmm->state);
	memset(vmm->image, 0, vmm->len);
	for (uint32_t count = 1; count <= vmm->state.count; count++) {
		x = x * 1664525u + 1013904223u;
		memcpy(vmm->image + GUEST_DATA + (size_t)(x >> 8 & mask) * GUEST_PAGE +
			       (x >> 2 & 1020u),
		       &count, sizeof(count));
	}
	for (size_t off = GUEST_DATA; off < vmm->len; off += sizeof(uint32_t))
		wrong += memcmp(vmm->image + off, vmm->ram + off, sizeof(uint32_t)) != 0;
	printf("vmm: at the end, at rank %u: the guest wrote %u times, %llu words are wrong\n",
	       vmm->self.rank, vmm->state.count, (unsigned long long)wrong);
	return wrong + (x != vmm->state.x);
}

static void guest_open(struct vmm *vmm)
{
	const char *why = "not asked for";
	struct guest_state state = { .x = SEED, .mask = guest_pages(vmm) - 1 };
	int err = -ENOTSUP;

	vmm->ops = &guest_kvm;
	if (strcmp(vmm->options.guest, "thread") != 0)
		err = vmm->ops->open(vmm->ram, vmm->len, vmm->options.rate, &vmm->guest, &why);
	if (err < 0 && strcmp(vmm->options.guest, "kvm") == 0) {
		fprintf(stderr, "vmm: no guest by KVM: %s\n", why);
		exit(77);
	}
	printf("vmm: rank %u: guest by %s\n", vmm->self.rank,
	       err == 0 ? "KVM" : "a thread, for the reason that follows");
	if (err < 0) {
		printf("vmm: rank %u: KVM: %s\n", vmm->self.rank, why);
		vmm->ops = &guest_thread;
		TRY(vmm->ops->open(vmm->ram, vmm->len, vmm->options.rate, &vmm->guest, &why));
	}
	vmm->ops->set(vmm->guest, &state);
	if (vmm->self.rank == 1) /* its program comes with it */
		memset(vmm->ram, 0, GUEST_DATA + GUEST_PAGE);
}

static void memory_open(struct vmm *vmm)
{
	struct farbus_region_info info;
	struct farbus_region *image;
	void *alias;

	vmm->len = vmm->options.ram_mib << 20;
	TRY(farbus_region_alloc(vmm->bus, vmm->len, 0, &vmm->ram_region));
	TRY(farbus_region_info(vmm->ram_region, &info));
	vmm->ram = info.va;
	TRY(farbus_map(vmm->ram_region, 0, vmm->len, PROT_READ | PROT_WRITE, 0, &alias));
	vmm->alias = alias;
	TRY(farbus_region_alloc(vmm->bus, vmm->len, 0, &image));
	TRY(farbus_region_info(image, &info));
	vmm->image = info.va;
	example_offer(vmm->bus, "image", image, FARBUS_R);
	vmm->peer_image = example_import(vmm->bus, "image", 1 - vmm->self.rank);
}

static int usage(void)
{
	fprintf(stderr, "usage: vmm [--ram MIB] [--rate WRITES_PER_SECOND] [--moves N] "
			"[--guest auto|kvm|thread] [--lose]\n"
			"Two ranks. --lose writes a page that no log sees: it must be noticed.\n");
	return 2;
}

static bool options_read(int argc, char **argv, struct options *options)
{
	*options = (struct options){ .ram_mib = 64, .rate = 20000, .moves = 2, .guest = "auto" };
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		int err = 0;

		if (strcmp(argv[i], "--lose") == 0) {
			options->lose = true;
			continue;
		}
		if (strcmp(argv[i], "--ram") == 0)
			err = example_number(value, 2, 65536, &options->ram_mib);
		else if (strcmp(argv[i], "--rate") == 0)
			err = example_number(value, 0, 1000000000, &options->rate);
		else if (strcmp(argv[i], "--moves") == 0)
			err = example_number(value, 1, 1000, &options->moves);
		else if (strcmp(argv[i], "--guest") == 0)
			options->guest = value;
		else
			err = -EINVAL;
		if (err < 0)
			return false;
		i++;
	}
	return strcmp(options->guest, "auto") == 0 || strcmp(options->guest, "kvm") == 0 ||
	       strcmp(options->guest, "thread") == 0;
}

int main(int argc, char **argv)
{
	struct vmm vmm = { .bus = NULL };
	uint64_t bad = 0;

	example_name("vmm");
	bool good = options_read(argc, argv, &vmm.options);

	TRY(farbus_open(NULL, &vmm.bus));
	TRY(farbus_self(vmm.bus, &vmm.self));
	example_rank(vmm.self.rank);
	if (!good || vmm.self.size != 2)
		return example_refuse(vmm.bus, vmm.self.rank == 0 ? usage() : 2);
	memory_open(&vmm);
	guest_open(&vmm);
	TRY(farbus_barrier(vmm.bus, WAIT_MS));
	if (vmm.self.rank == 0)
		TRY(vmm.ops->run(vmm.guest));
	for (uint64_t number = 1; number <= vmm.options.moves; number++) {
		move(&vmm, number);
		bad += vmm.differ;
		vmm.differ = 0;
	}
	if (vmm.options.moves % 2 == vmm.self.rank) {
		TRY(vmm.ops->pause(vmm.guest));
		bad += words_wrong(&vmm);
	}
	vmm.ops->close(vmm.guest);
	TRY(farbus_allreduce(vmm.bus, &bad, 1, FARBUS_U64, FARBUS_SUM, WAIT_MS));
	TRY(farbus_close(vmm.bus));
	return bad ? 1 : 0;
}
