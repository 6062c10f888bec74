/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c -- a ring's memfd: made, sealed, mapped and checked
 *
 * The file can neither shrink nor grow after it was made, so that no side can take mapped memory away
 * from the other.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "nicdrv/ring/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u
#define SLOTS_MIN 64u
#define HEADROOM_DEFAULT 64u
#define BUFFER_DEFAULT 16384u /* ten packets: a field for each costs five times as much */
#define VIRTIO_HEADER 12u
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct sizes {
	uint32_t slot_count;
	size_t post, buffers, end; /* offsets */
};

static int conf_check(const struct nic_ring_conf *conf, int error)
{
	if (conf->buffer_count == 0 || conf->buffer_count > NIC_RING_BUFFER_MAX)
		return error_set(error, "NIC ring: %u buffers: 1 to %d", conf->buffer_count,
				 NIC_RING_BUFFER_MAX);
	if (conf->buffer_size % 64 || conf->buffer_size < NIC_RING_BUFFER_SIZE_MIN ||
	    conf->buffer_size > NIC_RING_BUFFER_SIZE_MAX)
		return error_set(
			error, "NIC ring: buffers of %u bytes: a multiple of 64 from %d to %d",
			conf->buffer_size, NIC_RING_BUFFER_SIZE_MIN, NIC_RING_BUFFER_SIZE_MAX);
	if (conf->headroom < VIRTIO_HEADER || conf->headroom > NIC_RING_HEADROOM_MAX)
		return error_set(error, "NIC ring: a headroom of %u bytes: %u to %d",
				 conf->headroom, VIRTIO_HEADER, NIC_RING_HEADROOM_MAX);
	return 0;
}

static struct sizes sizes_of(const struct nic_ring_conf *conf)
{
	struct sizes sizes = { .slot_count = SLOTS_MIN };

	while (sizes.slot_count < conf->buffer_count)
		sizes.slot_count *= 2;
	sizes.post = sizeof(struct nic_ring_header) + sizes.slot_count * sizeof(struct nic_field);
	sizes.buffers = sizes.post + sizes.slot_count * sizeof(struct nic_post);
	sizes.buffers = (sizes.buffers + PAGE - 1) & ~(size_t)(PAGE - 1);
	sizes.end = sizes.buffers;
	if (!conf->external)
		sizes.end += (size_t)conf->buffer_count * conf->buffer_size;
	return sizes;
}

static int header_write(int fd, const struct nic_ring_conf *conf, const struct sizes *sizes)
{
	struct nic_ring_header header = {
		.magic = FIELD_MAGIC,
		.version = FIELD_VERSION,
		.buffer_count = conf->buffer_count,
		.buffer_size = conf->buffer_size,
		.headroom = conf->headroom,
		.slot_count = sizes->slot_count,
		.external = conf->external,
	};

	if (ftruncate(fd, (off_t)sizes->end) < 0)
		return error_set(-ENOMEM, "no memory for a NIC ring of %zu bytes", sizes->end);
	if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header))
		return error_set(-ENOMEM, "no memory for the first page of a NIC ring");
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return error_set(-ENOMEM, "the memory of a NIC ring cannot be sealed");
	return 0;
}

int nic_ring_create(const struct nic_ring_conf *wanted, int *ret_fd)
{
	struct nic_ring_conf conf = *wanted;

	conf.buffer_size = conf.buffer_size ? conf.buffer_size : BUFFER_DEFAULT;
	conf.headroom = conf.headroom ? conf.headroom : HEADROOM_DEFAULT;
	int err = conf_check(&conf, -EINVAL);
	if (err < 0)
		return err;
	struct sizes sizes = sizes_of(&conf);
	int fd = alloc_fault_point() ? -1 :
				       memfd_create("farbus-nic", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_set(-EMFILE, "no descriptor for a NIC ring: raise ulimit -n");
	err = header_write(fd, &conf, &sizes);
	if (err < 0) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/* What the file says, against what it is. */
static int header_check(const struct nic_ring_header *header, size_t size,
			struct nic_ring_conf *ret_conf, struct sizes *ret_sizes)
{
	struct nic_ring_conf conf = { header->buffer_count, header->buffer_size, header->headroom,
				      header->external };

	if (header->magic != FIELD_MAGIC)
		return error_set(-EPROTO, "this file is no NIC ring");
	if (header->version != FIELD_VERSION)
		return error_set(-EPROTO,
				 "a NIC ring of version %u, here it is %d: use the same farbus",
				 header->version, FIELD_VERSION);
	int err = conf_check(&conf, -EPROTO);
	if (err < 0)
		return err;
	*ret_sizes = sizes_of(&conf);
	if (ret_sizes->slot_count != header->slot_count || ret_sizes->end != size)
		return error_set(-EPROTO, "a NIC ring of %zu bytes, and it says %zu", size,
				 ret_sizes->end);
	*ret_conf = conf;
	return 0;
}

int nic_ring_map(int fd, struct nic_ring_map *ret_map)
{
	struct nic_ring_header header;
	struct nic_ring_map map = { 0 };
	struct sizes sizes;
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return error_set(-EBADF, "the descriptor of a NIC ring is not open");
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return error_set(-EPROTO, "this file is no NIC ring: its size is not sealed");
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return error_set(-EPROTO, "this file is no NIC ring: it is too short");
	int err = header_check(&header, (size_t)stat.st_size, &map.conf, &sizes);
	if (err < 0)
		return err;
	map.size = sizes.end;
	map.slot_count = sizes.slot_count;
	map.memory = alloc_fault_point() ?
			     MAP_FAILED :
			     mmap(NULL, map.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map.memory == MAP_FAILED)
		return error_set(-ENOMEM, "a NIC ring of %zu bytes cannot be mapped", map.size);
	madvise(map.memory, map.size, MADV_DONTFORK);
	map.field = (struct nic_field *)(map.memory + 1);
	map.post = (struct nic_post *)((uint8_t *)map.memory + sizes.post);
	map.buffers = map.conf.external ? NULL : (uint8_t *)map.memory + sizes.buffers;
	*ret_map = map;
	return 0;
}

void nic_ring_unmap(struct nic_ring_map *map)
{
	munmap(map->memory, map->size);
	*map = (struct nic_ring_map){ 0 };
}
