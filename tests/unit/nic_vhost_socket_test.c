/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_vhost_socket_test.c -- the socket: pieces of messages, front ends that come and go */
#include "addrmap_common.h"
#include "nic_front.h"
#include "nicdrv/virtio/vhost_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
	struct vhost_socket socket;
	struct vhost_user user;
	char path[64];
	int peer;
	unsigned fd_count;
};

static void nothing(void *arg, uint32_t index)
{
	(void)arg, (void)index;
}

static void nothing_new(void *arg)
{
	(void)arg;
}

static void nobody(void *arg, const uint8_t mac[6])
{
	(void)arg, (void)mac;
}

static const struct vhost_user_ops ops = { nothing, nothing, nothing_new, nobody };

static int front_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->fd_count = front_fd_count();
	snprintf(world->path, sizeof(world->path), "/tmp/farbus-vhost-%d.sock", (int)getpid());
	assert_int_equal(vhost_user_init(&world->user, &ops, NULL, 0, 1), 0);
	assert_int_equal(vhost_socket_open(&world->socket, world->path), 0);
	world->peer = front_connect(world->path);
	assert_int_equal(vhost_socket_accept(&world->socket), 1);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	vhost_socket_close(&world->socket);
	vhost_user_fini(&world->user);
	if (world->peer >= 0)
		close(world->peer);
	assert_int_equal(access(world->path, F_OK), -1);
	assert_int_equal(front_fd_count(), world->fd_count);
	free(world);
	return 0;
}

static void say(struct world *world, const void *data, size_t len, const int *fd, unsigned fd_count)
{
	uint8_t control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	struct iovec piece = { (void *)(uintptr_t)data, len };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (fd_count > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(head), fd, fd_count * sizeof(int));
	}
	assert_int_equal(sendmsg(world->peer, &message, 0), (ssize_t)len);
}

struct plain {
	struct vhost_header header;
	uint64_t number;
} __attribute__((packed));

/* False: no answer is there. */
static bool hear(struct world *world, struct plain *ret_reply)
{
	return recv(world->peer, ret_reply, sizeof(*ret_reply), MSG_DONTWAIT) == sizeof(*ret_reply);
}

static void read__a_byte_at_a_time__one_message(void **state)
{
	const struct vhost_header header = { VHOST_GET_QUEUE_NUM, VHOST_VERSION, 0 };
	struct world *world = *state;
	struct plain reply;

	for (size_t i = 0; i < sizeof(header); i++) {
		assert_false(hear(world, &reply));
		say(world, (const uint8_t *)&header + i, 1, NULL, 0);
		assert_int_equal(vhost_socket_read(&world->socket, &world->user), 0);
	}
	assert_true(hear(world, &reply));
	assert_int_equal(reply.header.request, VHOST_GET_QUEUE_NUM);
	assert_int_equal(reply.number, 1);
}

static void read__several_at_once__each_answered(void **state)
{
	struct world *world = *state;
	struct plain set = { { VHOST_SET_FEATURES, VHOST_VERSION, 8 },
			     1ull << VHOST_F_PROTOCOL_FEATURES };
	const struct vhost_header get = { VHOST_GET_FEATURES, VHOST_VERSION, 0 };
	uint8_t all[3 * sizeof(get) + sizeof(set)];
	struct plain reply;

	memcpy(all, &get, 12);
	memcpy(all + 12, &set, 20);
	memcpy(all + 32, &get, 12);
	memcpy(all + 44, &get, 12);
	say(world, all, sizeof(all), NULL, 0);
	assert_int_equal(vhost_socket_read(&world->socket, &world->user), 0);
	for (int i = 0; i < 3; i++)
		assert_true(hear(world, &reply));
	assert_false(hear(world, &reply));
	assert_int_equal(world->user.features, 1ull << VHOST_F_PROTOCOL_FEATURES);
}

static void read__descriptors__belong_to_their_message(void **state)
{
	struct world *world = *state;
	struct plain call[2] = { { { VHOST_SET_VRING_CALL, VHOST_VERSION, 8 }, 0 },
				 { { VHOST_SET_VRING_CALL, VHOST_VERSION, 8 }, 1 } };
	int fd[2] = { open("/dev/null", O_WRONLY | O_CLOEXEC),
		      open("/dev/zero", O_WRONLY | O_CLOEXEC) };

	for (int i = 0; i < 2; i++)
		say(world, &call[i], sizeof(call[i]), &fd[i], 1);
	assert_int_equal(vhost_socket_read(&world->socket, &world->user), 0);
	for (int i = 0; i < 2; i++) {
		struct stat ours, theirs;

		assert_int_equal(fstat(world->user.queue[i].call, &ours), 0);
		fstat(fd[i], &theirs);
		assert_int_equal(ours.st_rdev, theirs.st_rdev);
		close(fd[i]);
	}
}

static void read__more_descriptors_than_a_message_has__eproto(void **state)
{
	struct world *world = *state;
	struct plain call = { { VHOST_SET_VRING_CALL, VHOST_VERSION, 8 }, 0 };
	int fd[VHOST_MESSAGE_FD_MAX + 1];

	for (size_t i = 0; i < COUNT_OF(fd); i++)
		fd[i] = 2;
	say(world, &call, sizeof(call), fd, COUNT_OF(fd));
	assert_int_equal(vhost_socket_read(&world->socket, &world->user), -EPROTO);
	vhost_socket_hangup(&world->socket);
}

static void read__length_that_cannot_be__eproto(void **state)
{
	struct world *world = *state;
	const struct vhost_header header = { VHOST_SET_FEATURES, VHOST_VERSION, 0xffffffff };

	say(world, &header, sizeof(header), NULL, 0);
	assert_int_equal(vhost_socket_read(&world->socket, &world->user), -EPROTO);
}

static void read__front_end_gone_within_a_message__econnreset(void **state)
{
	struct world *world = *state;
	const struct vhost_header header = { VHOST_SET_MEM_TABLE, VHOST_VERSION, 40 };

	say(world, &header, sizeof(header), &(int){ 2 }, 1);
	assert_int_equal(vhost_socket_read(&world->socket, &world->user), 0);
	close(world->peer);
	world->peer = -1;
	assert_int_equal(vhost_socket_read(&world->socket, &world->user), -ECONNRESET);
	vhost_socket_hangup(&world->socket);
	/* The next one is welcome. */
	world->peer = front_connect(world->path);
	assert_int_equal(vhost_socket_accept(&world->socket), 1);
	struct plain reply;
	const struct vhost_header get = { VHOST_GET_FEATURES, VHOST_VERSION, 0 };
	say(world, &get, sizeof(get), NULL, 0);
	assert_int_equal(vhost_socket_read(&world->socket, &world->user), 0);
	assert_true(hear(world, &reply));
}

static void accept__second_front_end__waits_for_the_first(void **state)
{
	struct world *world = *state;
	int second = front_connect(world->path);

	assert_int_equal(vhost_socket_accept(&world->socket), 0);
	vhost_socket_hangup(&world->socket);
	assert_int_equal(vhost_socket_accept(&world->socket), 1);
	assert_int_equal(vhost_socket_accept(&world->socket), 0);
	close(second);
}

static void open__path_in_use__left_alone(void **state)
{
	struct world *world = *state;
	struct vhost_socket other;
	char path[200];
	int fd;

	assert_int_equal(vhost_socket_open(&other, world->path), -EEXIST);
	snprintf(path, sizeof(path), "%s.file", world->path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(vhost_socket_open(&other, path), -EEXIST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(vhost_socket_open(&other, ""), -ENAMETOOLONG);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(vhost_socket_open(&other, path), -ENAMETOOLONG);
	assert_int_equal(vhost_socket_open(&other, "/nonexistent/socket"), -ENOENT);
}

static void open__socket_of_a_killed_process__replaced(void **state)
{
	struct world *world = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vhost_socket other;
	struct stat stat_of;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s.old", world->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(vhost_socket_open(&other, address.sun_path), 0);
	assert_int_equal(stat(address.sun_path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0600);
	vhost_socket_close(&other);
	assert_int_equal(access(address.sun_path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(read__a_byte_at_a_time__one_message),
		TEST(read__several_at_once__each_answered),
		TEST(read__descriptors__belong_to_their_message),
		TEST(read__more_descriptors_than_a_message_has__eproto),
		TEST(read__length_that_cannot_be__eproto),
		TEST(read__front_end_gone_within_a_message__econnreset),
		TEST(accept__second_front_end__waits_for_the_first),
		TEST(open__path_in_use__left_alone),
		TEST(open__socket_of_a_killed_process__replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
