/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_kvm.c -- the guest's program on a virtual CPU, and KVM's log of what it writes
 *
 * One CPU in flat 32-bit mode without paging. The program leaves to us after each burst of writes,
 * which is where it is paced and paused: between two of them all of its state is in registers.
 */
#include "apps/examples/07-vmm/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BURSTS 1000 /* per second */
#define PORT 0x10

struct guest {
	size_t len;
	uint8_t *ram; /* borrows */
	uint64_t rate, due;
	int kvm, vm, cpu; /* owned */
	struct kvm_run *shared;
	size_t shared_len;
	pthread_t thread;
	bool running, failed;
	_Atomic bool stop;
};

/* eax: x, ebx: count, ecx: writes left of this burst, esi: mask, edi: where the pages start */
static const uint8_t program[] = {
	0x85, 0xc9,			    /* again: test ecx, ecx */
	0x74, 0x29,			    /*        jz out */
	0x69, 0xc0, 0x0d, 0x66, 0x19, 0x00, /*        imul eax, eax, 1664525 */
	0x05, 0x5f, 0xf3, 0x6e, 0x3c,	    /*        add eax, 1013904223 */
	0x89, 0xc2,			    /*        mov edx, eax */
	0xc1, 0xea, 0x08,		    /*        shr edx, 8 */
	0x21, 0xf2,			    /*        and edx, esi */
	0xc1, 0xe2, 0x0c,		    /*        shl edx, 12 */
	0x89, 0xc5,			    /*        mov ebp, eax */
	0xc1, 0xed, 0x02,		    /*        shr ebp, 2 */
	0x81, 0xe5, 0xfc, 0x03, 0x00, 0x00, /*        and ebp, 1020 */
	0x43,				    /*        inc ebx */
	0x01, 0xea,			    /*        add edx, ebp */
	0x89, 0x1c, 0x3a,		    /*        mov [edx + edi], ebx */
	0x49,				    /*        dec ecx */
	0xeb, 0xd3,			    /*        jmp again */
	0xe6, PORT,			    /* out:   out PORT, al */
	0xeb, 0xcf,			    /*        jmp again */
};

static int fail(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -ENOTSUP;
}

static int ram_set(struct guest *guest, uint32_t flags)
{
	struct kvm_userspace_memory_region slot = { .flags = flags,
						    .memory_size = guest->len,
						    .userspace_addr = (uintptr_t)guest->ram };

	return ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0 ? -errno : 0;
}

static int cpu_reset(struct guest *guest)
{
	struct kvm_sregs sregs;
	struct kvm_segment flat = { .limit = 0xffffffff,
				    .selector = 8,
				    .type = 11,
				    .present = 1,
				    .db = 1,
				    .s = 1,
				    .g = 1 };

	if (ioctl(guest->cpu, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = flat;
	flat.type = 3;
	flat.selector = 16;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	sregs.cr0 |= 1; /* protected mode */
	return ioctl(guest->cpu, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

static void kvm_close(struct guest *guest);

static int parts_open(struct guest *guest, const char **ret_why)
{
	int len;

	guest->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (guest->kvm < 0)
		return fail(ret_why, "/dev/kvm cannot be opened");
	guest->vm = ioctl(guest->kvm, KVM_CREATE_VM, 0);
	if (guest->vm < 0)
		return fail(ret_why, "KVM makes no VM here");
	if (ram_set(guest, 0) < 0)
		return fail(ret_why, "KVM does not take the memory");
	guest->cpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0);
	len = ioctl(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (guest->cpu < 0 || len <= 0)
		return fail(ret_why, "KVM makes no virtual CPU here");
	guest->shared_len = (size_t)len;
	guest->shared =
		mmap(NULL, guest->shared_len, PROT_READ | PROT_WRITE, MAP_SHARED, guest->cpu, 0);
	if (guest->shared == MAP_FAILED) {
		guest->shared = NULL;
		return fail(ret_why, "the virtual CPU cannot be mapped");
	}
	return cpu_reset(guest) < 0 ? fail(ret_why, "the virtual CPU has no 32-bit mode") : 0;
}

static int burst_run(struct guest *guest, uint64_t writes)
{
	struct kvm_regs regs;

	if (ioctl(guest->cpu, KVM_GET_REGS, &regs) < 0)
		return -errno;
	regs.rcx = writes;
	if (ioctl(guest->cpu, KVM_SET_REGS, &regs) < 0)
		return -errno;
	while (ioctl(guest->cpu, KVM_RUN, 0) < 0)
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	if (guest->shared->exit_reason != KVM_EXIT_IO || guest->shared->io.port != PORT)
		return -EIO;
	guest->shared->immediate_exit = 1; /* ends the instruction, and runs no other */
	(void)ioctl(guest->cpu, KVM_RUN, 0);
	guest->shared->immediate_exit = 0;
	return 0;
}

static void kvm_set(struct guest *guest, const struct guest_state *state)
{
	struct kvm_regs regs = { .rax = state->x,
				 .rbx = state->count,
				 .rsi = state->mask,
				 .rdi = GUEST_DATA,
				 .rip = GUEST_CODE,
				 .rflags = 2 };

	guest->failed |= ioctl(guest->cpu, KVM_SET_REGS, &regs) < 0;
}

static void kvm_get(struct guest *guest, struct guest_state *ret_state)
{
	struct kvm_regs regs = { .rax = 0 };

	guest->failed |= ioctl(guest->cpu, KVM_GET_REGS, &regs) < 0;
	*ret_state = (struct guest_state){ .x = (uint32_t)regs.rax,
					   .count = (uint32_t)regs.rbx,
					   .mask = (uint32_t)regs.rsi };
}

/* Some hosts have /dev/kvm and cannot run a guest by it: one burst says so. */
static int kvm_try(struct guest *guest, const char **ret_why)
{
	struct guest_state state = { .x = 1, .mask = 0 }, now;

	memcpy(guest->ram + GUEST_CODE, program, sizeof(program));
	kvm_set(guest, &state);
	if (burst_run(guest, 3) < 0)
		return fail(ret_why, "KVM does not run the guest's program here");
	kvm_get(guest, &now);
	memset(guest->ram + GUEST_DATA, 0, GUEST_PAGE);
	if (guest->failed || now.count != 3)
		return fail(ret_why, "KVM ran something else than the guest's program");
	return 0;
}

static int kvm_open(uint8_t *ram, size_t len, uint64_t rate, struct guest **ret_guest,
		    const char **ret_why)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	int err;

	if (!guest)
		return fail(ret_why, "no memory");
	*guest = (struct guest){
		.len = len, .ram = ram, .rate = rate, .kvm = -1, .vm = -1, .cpu = -1
	};
	err = parts_open(guest, ret_why);
	if (err == 0)
		err = kvm_try(guest, ret_why);
	if (err < 0) {
		kvm_close(guest);
		return err;
	}
	*ret_guest = guest;
	return 0;
}

static void *guest_main(void *arg)
{
	struct guest *guest = arg;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!atomic_load(&guest->stop)) {
		guest->due += guest->rate;
		if (burst_run(guest, guest->due / BURSTS) < 0) {
			guest->failed = true;
			break;
		}
		guest->due %= BURSTS;
		next.tv_nsec += 1000000000 / BURSTS;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return NULL;
}

static int kvm_run(struct guest *guest)
{
	atomic_store(&guest->stop, false);
	guest->running = pthread_create(&guest->thread, NULL, guest_main, guest) == 0;
	return guest->running ? 0 : -EAGAIN;
}

static int kvm_pause(struct guest *guest)
{
	if (guest->running) {
		atomic_store(&guest->stop, true);
		guest->running = false;
		pthread_join(guest->thread, NULL);
	}
	return guest->failed ? -EIO : 0;
}

static void kvm_close(struct guest *guest)
{
	kvm_pause(guest);
	if (guest->shared)
		munmap(guest->shared, guest->shared_len);
	if (guest->cpu >= 0)
		close(guest->cpu);
	if (guest->vm >= 0)
		close(guest->vm);
	if (guest->kvm >= 0)
		close(guest->kvm);
	free(guest);
}

static int kvm_log_start(void *log)
{
	return ram_set(log, KVM_MEM_LOG_DIRTY_PAGES);
}

/* KVM overwrites what it is given, farbus wants it added. */
static int kvm_log_sync(void *log, uint32_t slot, uint64_t *bitmap)
{
	struct guest *guest = log;
	size_t words = (guest->len / GUEST_PAGE + 63) / 64;
	uint64_t *dirty = calloc(words, sizeof(*dirty));
	struct kvm_dirty_log get = { .slot = slot, .dirty_bitmap = dirty };
	int err = 0;

	if (!dirty)
		return -ENOMEM;
	if (ioctl(guest->vm, KVM_GET_DIRTY_LOG, &get) < 0)
		err = -errno;
	for (size_t i = 0; err == 0 && i < words; i++)
		bitmap[i] |= dirty[i];
	free(dirty);
	return err;
}

static void kvm_log_stop(void *log)
{
	(void)ram_set(log, 0);
}

const struct guest_ops guest_kvm = {
	.name = "kvm",
	.kind = 2,
	.open = kvm_open,
	.close = kvm_close,
	.run = kvm_run,
	.pause = kvm_pause,
	.get = kvm_get,
	.set = kvm_set,
	.log_start = kvm_log_start,
	.log_sync = kvm_log_sync,
	.log_stop = kvm_log_stop,
};
