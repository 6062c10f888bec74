/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_ucx_test.c -- links over UCX: addresses, strangers at the port, the ends of peers */
#include "transport_end.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/ucx/ucx.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNAL_COUNT 32

const struct transport_ops *const ops = &transport_ucx;
static struct ucx_timing timing;
static uint8_t bytes[UCX_MESSAGE_MAX];

const char *test_where(void)
{
	return "127.0.0.1";
}

static int timing_reset(void **state)
{
	(void)state;
	ucx_timing = timing;
	return 0;
}

/* ---- addresses ---- */

static void open__where_that_is_none__einval_names_it(void **state)
{
	static const char *const wrong[] = {
		"10.0.0.1:",
		"10.0.0.1:x",
		"10.0.0.1:65536",
		"[::1",
		"[::1]x",
		"nosuchdevice0",
		"203.0.113.7",
		"tcp/127.0.0.1",
		"127.0.0.1/0123456789abcdef",
		"127.0.0.1:1/1/1/1",
		"256.0.0.1",
		"a:b:c",
		"nosuchdevice0:70",
		"127.0.0.1:-1",
		"127.0.0.1:999999999",
	};
	struct transport *transport = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		error_clear();
		assert_int_equal(ops->open(wrong[i], &transport), -EINVAL);
		assert_string_not_equal(error_text(), "");
		assert_null(transport);
	}
}

static void connect__locator_that_is_none__einval_names_it(void **state)
{
	static const char *const wrong[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:0",
		"eth0:7000",
		"localhost:7000",
		"tcp/127.0.0.1:7000",
		"127.0.0.1:7000/12",
		"127.0.0.1:7000/0000000000000000",
		"127.0.0.1:7000/00000000000000001",
		"127.0.0.1:7000/0123456789abcdeg",
		"/",
		"//",
		"/0123456789abcdef",
		"[]:1",
		"farbus.1.2",
	};
	struct end *end = end_open(test_where());
	struct transport_link *link = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(ops->connect(end_transport(end), wrong[i], &link), -EINVAL);
		assert_non_null(strstr(error_text(), wrong[i]));
	}
	assert_null(link);
	end_expect_nothing(end);
	end_close(end);
}

static void open__every_form_of_where__can_be_connected_to(void **state)
{
	static const char *const where[] = { "",    "lo",    "127.0.0.1", "127.0.0.1:0",
					     "::1", "[::1]", "[::1]:0" };
	struct transport_link *to_a, *to_b;

	(void)state;
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		struct end *a, *b;

		if (strstr(where[i], "::") && access("/proc/net/if_inet6", R_OK) < 0)
			continue;
		a = end_open(where[i]);
		b = end_open(where[i]);
		end_join(a, b, &to_b, &to_a);
		end_close(a);
		end_close(b);
	}
}

static void open__port_taken__eexist(void **state)
{
	struct end *first = end_open(test_where());
	char where[TRANSPORT_LOCATOR_MAX];
	struct transport *second = NULL;

	(void)state;
	snprintf(where, sizeof(where), "%s", end_locator(first));
	*strrchr(where, '/') = '\0'; /* the cookie */
	assert_int_equal(ops->open(where, &second), -EEXIST);
	end_close(first);
	assert_int_equal(ops->open(where, &second), 0);
	/* A port that was asked for needs no cookie: it is all that others know. */
	char locator[TRANSPORT_LOCATOR_MAX];

	ops->locator(second, locator);
	assert_string_equal(locator, where);
	ops->close(second);
}

/* What UCX would change when it is loaded. */
struct process {
	void (*handler[SIGNAL_COUNT])(int);
	uint8_t code[8][16];
};

static void process_get(struct process *ret_process)
{
	static const char *const names[] = { "mmap", "munmap", "mremap", "madvise",
					     "sbrk", "brk",    "shmat",	 "shmdt" };
	struct sigaction action = { 0 };

	memset(ret_process, 0, sizeof(*ret_process));
	for (int i = 1; i < SIGNAL_COUNT; i++)
		if (sigaction(i, NULL, &action) == 0)
			ret_process->handler[i] = action.sa_handler;
	for (int i = 0; i < 8; i++)
		memcpy(ret_process->code[i], dlsym(RTLD_DEFAULT, names[i]), 16);
}

/* Before anything else loads the library. */
static void open__first_of_all__signals_and_memory_calls_stay_as_they_were(void **state)
{
	struct transport *transport = NULL;
	struct process before, after;
	char **variables = environ;

	(void)state;
	process_get(&before);
	alloc_fault_arm(2);
	assert_int_equal(ops->open(test_where(), &transport), -ENOSYS);
	assert_non_null(strstr(error_text(), "libucx0"));
	alloc_fault_arm(0);
	assert_int_equal(ops->open(test_where(), &transport), 0);
	process_get(&after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_ptr_equal(environ, variables);
	assert_null(getenv("UCX_MEM_MMAP_HOOK_MODE"));
	ops->close(transport);
}

static void open__every_allocation_fails_once__error_and_no_leak(void **state)
{
	struct transport *transport = NULL;
	unsigned before = 0;
	bool fired = true;
	int err;

	(void)state;
	for (unsigned long n = 1; fired; n++) {
		alloc_fault_arm(n);
		err = ops->open(test_where(), &transport);
		fired = alloc_fault_fired();
		alloc_fault_arm(0);
		assert_true(err == 0 || err == -ENOMEM || err == -EMFILE || err == -ENOSYS);
		assert_true(err < 0 || !fired || n > 3);
		if (err == 0)
			ops->close(transport);
		if (before == 0 && n > 3)
			before = fd_count(); /* with what UCX keeps for itself */
	}
	assert_int_equal(fd_count(), before);
}

static void connect__every_allocation_fails_once__error_or_link(void **state)
{
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_link *link = NULL;
	struct transport_event event;
	int err = -ENOMEM;

	(void)state;
	for (unsigned long n = 1; err < 0; n++) {
		alloc_fault_arm(n);
		err = ops->connect(end_transport(a), end_locator(b), &link);
		assert_true(err == 0 || err == -ENOMEM || err == -EMFILE || err == -ECONNREFUSED);
		assert_true(n < 100);
	}
	alloc_fault_arm(0);
	end_expect(a, TRANSPORT_LINK_UP, &event);
	end_close(a);
	end_close(b);
}

/* ---- connecting ---- */

static int listener_raw(uint16_t *ret_port)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	*ret_port = ntohs(name.sin_port);
	return fd;
}

static void down_expect(struct end *end, const char *locator, int status)
{
	struct transport_event event;
	struct transport_link *link;
	int err = ops->connect(end_transport(end), locator, &link);

	if (err == status)
		return;
	assert_int_equal(err, 0);
	end_expect(end, TRANSPORT_LINK_DOWN, &event);
	assert_ptr_equal(event.link, link);
	assert_int_equal(event.status, status);
	ops->link_close(link);
}

static void connect__nobody_there__econnrefused(void **state)
{
	struct end *end = end_open(test_where());
	char locator[TRANSPORT_LOCATOR_MAX];
	uint16_t port;
	int fd = listener_raw(&port); /* bound, not listening */

	(void)state;
	snprintf(locator, sizeof(locator), "127.0.0.1:%u", port);
	down_expect(end, locator, -ECONNREFUSED);
	end_close(end);
	close(fd);
}

static void connect__nobody_answers__etimedout(void **state)
{
	struct end *end = end_open(test_where());
	char locator[TRANSPORT_LOCATOR_MAX];
	uint16_t port;
	int fd = listener_raw(&port);

	(void)state;
	assert_int_equal(listen(fd, 5), 0);
	snprintf(locator, sizeof(locator), "127.0.0.1:%u", port);
	ucx_timing.connect_ns = 100000000;
	down_expect(end, locator, -ETIMEDOUT);
	end_close(end);
	close(fd);
}

static void connect__wrong_cookie__refused_and_nothing_told(void **state)
{
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	char locator[TRANSPORT_LOCATOR_MAX], *cookie;
	struct transport_link *to_a, *to_b;

	(void)state;
	snprintf(locator, sizeof(locator), "%s", end_locator(b));
	cookie = strrchr(locator, '/') + 1;
	cookie[15] = cookie[15] == '1' ? '2' : '1';
	down_expect(a, locator, -EHOSTDOWN);
	cookie[-1] = '\0';
	down_expect(a, locator, -EHOSTDOWN);
	end_expect_nothing(b);
	end_join(a, b, &to_b, &to_a);
	end_close(a);
	end_close(b);
}

/* ---- strangers ---- */

static int stranger(struct end *end)
{
	const char *colon = strrchr(end_locator(end), ':');
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	name.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

/* Until the other side closes; what it says is read away. */
static void closed_expect(int fd)
{
	uint64_t until = test_now() + WAIT_NS;
	char answer[256];

	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		end_progress();
		assert_true(test_now() < until);
	}
	close(fd);
}

/* Serves a peer, and returns how many descriptors are open then. */
static unsigned serve(struct end *b)
{
	struct end *a = end_open(test_where());
	struct transport_link *to_a, *to_b;
	struct transport_event event;

	end_join(a, b, &to_b, &to_a);
	assert_int_equal(ops->send(to_b, "x", 1, -1), 0);
	end_expect(b, TRANSPORT_MESSAGE, &event);
	end_close(a);
	end_expect(b, TRANSPORT_LINK_DOWN, &event);
	ops->link_close(event.link);
	end_expect_nothing(b);
	return fd_count();
}

/* Whoever comes after strangers is served as ever, and nothing is left of them. */
static void still_serves(struct end *b, unsigned fds)
{
	assert_int_equal(serve(b), fds);
}

/* A hello that is right but for one field. The address is garbage, and must not get to UCX. */
static void hello_fill(struct end *end, struct ucx_hello *hello, unsigned wrong)
{
	*hello = (struct ucx_hello){ .magic = 0x66757831u,
				     .message_max = UCX_MESSAGE_MAX,
				     .cookie = end_transport(end)->cookie,
				     .address_len = 100 };
	switch (wrong % 6) {
	case 0:
		hello->magic ^= 1;
		break;
	case 1:
		hello->message_max++;
		break;
	case 2:
		hello->cookie ^= 1ull << (wrong % 64);
		break;
	case 3:
		hello->address_len = 0;
		break;
	case 4:
		hello->address_len = UCX_ADDRESS_MAX + 1;
		break;
	case 5:
		hello->zero = 1;
		break;
	}
}

static void listen__garbage__closed_and_nothing_told(void **state)
{
	struct end *end = end_open(test_where());
	uint64_t seed = 11;
	unsigned fds = serve(end);

	(void)state;
	for (int i = 0; i < ROUNDS(300); i++) {
		size_t len = 1 + test_random(&seed) % sizeof(bytes) / 64;
		int fd = stranger(end);

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)test_random(&seed);
		if (i % 3)
			hello_fill(end, (struct ucx_hello *)bytes, (unsigned)i);
		assert_true(send(fd, bytes, len, MSG_NOSIGNAL) > 0);
		shutdown(fd, SHUT_WR);
		closed_expect(fd);
	}
	end_expect_nothing(end);
	still_serves(end, fds);
	end_close(end);
}

static void listen__says_nothing_or_half__closed_in_bounded_time(void **state)
{
	struct end *end = end_open(test_where());
	unsigned fds = serve(end);
	int silent, half;

	(void)state;
	ucx_timing.connect_ns = 200000000;
	silent = stranger(end);
	half = stranger(end);
	assert_int_equal(send(half, "1xuf", 4, MSG_NOSIGNAL), 4);
	closed_expect(silent);
	closed_expect(half);
	still_serves(end, fds);
	end_close(end);
}

static void listen__many_say_nothing__bounded_and_others_are_served(void **state)
{
	enum { STRANGERS = 300 };
	struct end *end = end_open(test_where());
	unsigned fds = serve(end), ours;
	int fd[STRANGERS];

	(void)state;
	for (int i = 0; i < STRANGERS; i++) {
		fd[i] = stranger(end);
		for (int j = 0; j < 4; j++) {
			sched_yield();
			end_progress();
		}
	}
	for (uint64_t until = test_now() + WAIT_NS; test_now() < until;) {
		end_progress();
		ours = fd_count() - fds - STRANGERS;
		if (ours <= UCX_GREETING_MAX)
			break;
	}
	assert_true(ours <= UCX_GREETING_MAX);
	for (int i = 0; i < STRANGERS; i++)
		close(fd[i]);
	for (uint64_t until = test_now() + WAIT_NS; fd_count() > fds && test_now() < until;)
		end_progress();
	still_serves(end, fds);
	end_close(end);
}

/* ---- strangers who speak UCX ---- */

#define PROBE_ID 2

struct speaker {
	ucp_context_h context;
	ucp_worker_h worker;
	ucp_ep_h ep;
	ucp_rkey_h rkey;
};

static void *ucp_symbol(const char *name)
{
	void *handle = dlopen("libucp.so.0", RTLD_NOW | RTLD_NOLOAD);
	void *symbol = handle ? dlsym(handle, name) : NULL;

	assert_non_null(symbol);
	dlclose(handle);
	return symbol;
}

/* One with all of UCX, an endpoint to the worker of end, and a key that nobody gave to it. */
static void speaker_open(struct end *end, struct speaker *ret_speaker)
{
	static const uint8_t key[16]; /* of no device: the target's CPU is to do it */
	const struct ucx_library *library = end_transport(end)->library;
	ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES,
				.features = UCP_FEATURE_AM | UCP_FEATURE_RMA };
	ucp_worker_params_t worker = { 0 };
	ucp_ep_params_t ep = { .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS |
					     UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE,
			       .address = (void *)end_transport(end)->address,
			       .err_mode = UCP_ERR_HANDLING_MODE_PEER };
	ucs_status_t (*unpack)(ucp_ep_h, const void *, ucp_rkey_h *);
	ucp_config_t *config;

	*(void **)&unpack = ucp_symbol("ucp_ep_rkey_unpack");
	assert_int_equal(library->config_read(NULL, NULL, &config), UCS_OK);
	assert_int_equal(library->config_modify(config, "TLS", "tcp"), UCS_OK);
	assert_int_equal(library->config_modify(config, "NET_DEVICES", "lo"), UCS_OK);
	assert_int_equal(library->init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config,
					       &ret_speaker->context),
			 UCS_OK);
	library->config_release(config);
	assert_int_equal(
		library->worker_create(ret_speaker->context, &worker, &ret_speaker->worker),
		UCS_OK);
	assert_int_equal(library->ep_create(ret_speaker->worker, &ep, &ret_speaker->ep), UCS_OK);
	assert_int_equal(unpack(ret_speaker->ep, key, &ret_speaker->rkey), UCS_OK);
}

static void speaker_close(struct end *end, struct speaker *speaker)
{
	const struct ucx_library *library = end_transport(end)->library;
	void (*destroy)(ucp_rkey_h);

	*(void **)&destroy = ucp_symbol("ucp_rkey_destroy");
	destroy(speaker->rkey);
	library->worker_destroy(speaker->worker);
	library->cleanup(speaker->context);
}

static ucs_status_t probe_arrived(void *arg, const void *header, size_t header_len, void *data,
				  size_t len, const ucp_am_recv_param_t *param)
{
	(void)header;
	(void)header_len;
	(void)data;
	(void)len;
	(void)param;
	*(bool *)arg = true;
	return UCS_OK;
}

static void probe_expect(struct end *end, bool *arrived)
{
	ucp_am_handler_param_t param = { .field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID |
						       UCP_AM_HANDLER_PARAM_FIELD_CB |
						       UCP_AM_HANDLER_PARAM_FIELD_ARG,
					 .id = PROBE_ID,
					 .cb = probe_arrived,
					 .arg = arrived };

	assert_int_equal(end_transport(end)->library->worker_set_am_recv_handler(
				 end_transport(end)->worker, &param),
			 UCS_OK);
}

/* It greets end with the name of another's worker, and an address of its own. */
static int impostor(struct end *end, struct end *other, struct speaker *speaker)
{
	const struct ucx_library *library = end_transport(end)->library;
	struct ucx_hello hello = { .magic = 0x66757831u,
				   .message_max = UCX_MESSAGE_MAX,
				   .cookie = end_transport(end)->cookie,
				   .token = 1 };
	uint8_t answer[sizeof(hello)];
	ucp_address_t *address;
	int fd = stranger(end);
	size_t len;

	memcpy(hello.worker, end_transport(other)->worker_id, sizeof(hello.worker));
	assert_int_equal(library->worker_get_address(speaker->worker, &address, &len), UCS_OK);
	hello.address_len = (uint32_t)len;
	assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
	assert_int_equal(send(fd, address, len, MSG_NOSIGNAL), len);
	library->worker_release_address(speaker->worker, address);
	for (uint64_t until = test_now() + WAIT_NS;
	     recv(fd, answer, sizeof(answer), MSG_DONTWAIT) < 0;) {
		end_progress();
		assert_true(test_now() < until);
	}
	return fd;
}

static void connect__stranger_took_the_peers_name__the_peer_is_reached(void **state)
{
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_link *to_a, *to_b;
	struct transport_event event;
	struct speaker speaker;
	int fd;

	(void)state;
	speaker_open(a, &speaker);
	fd = impostor(a, b, &speaker);
	end_join(a, b, &to_b, &to_a);
	assert_int_equal(ops->send(to_b, "for b", 5, -1), 0);
	end_expect(b, TRANSPORT_MESSAGE, &event);
	assert_int_equal(event.len, 5);
	close(fd);
	speaker_close(a, &speaker);
	end_close(a);
	end_close(b);
}

/* UCX carries out puts to any address of a process whose worker was opened for them. */
static void worker__stranger_puts__memory_unchanged(void **state)
{
	static uint64_t word = 42, other = 666;
	static const ucp_request_param_t plain;
	ucs_status_ptr_t (*put)(ucp_ep_h, const void *, size_t, uint64_t, ucp_rkey_h,
				const ucp_request_param_t *);
	struct end *end = end_open(test_where());
	const struct ucx_library *library = end_transport(end)->library;
	unsigned fds = serve(end);
	struct speaker speaker;
	bool arrived = false;
	void *asked, *told;

	(void)state;
	*(void **)&put = ucp_symbol("ucp_put_nbx");
	probe_expect(end, &arrived);
	speaker_open(end, &speaker);
	asked = put(speaker.ep, &other, sizeof(other), (uint64_t)(uintptr_t)&word, speaker.rkey,
		    &plain);
	/* It comes after the put, on the same connection. */
	told = library->am_send_nbx(speaker.ep, PROBE_ID, NULL, 0, &other, sizeof(other), &plain);
	assert_false(UCS_PTR_IS_ERR(asked) || UCS_PTR_IS_ERR(told));
	for (uint64_t until = test_now() + WAIT_NS; !arrived && test_now() < until;) {
		library->worker_progress(speaker.worker);
		end_progress();
	}
	assert_true(arrived);
	assert_int_equal(word, 42);
	speaker_close(end, &speaker);
	still_serves(end, fds);
	end_close(end);
}

/* ---- UCX in a process that is not its own ---- */

/* Signals of the process go to the application's threads. */
static void open__threads_of_ucx__have_all_signals_blocked(void **state)
{
	struct end *end = end_open(test_where());
	DIR *dir = opendir("/proc/self/task");
	unsigned long long blocked;
	struct dirent *entry;
	unsigned threads = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[300], line[256];
		FILE *file;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		file = fopen(path, "re");
		assert_non_null(file);
		while (fgets(line, sizeof(line), file))
			if (sscanf(line, "SigBlk: %llx", &blocked) == 1) {
				assert_true(blocked & 1ull << (SIGTERM - 1));
				threads++;
			}
		fclose(file);
	}
	closedir(dir);
	assert_true(threads > 0);
	end_close(end);
}

static void open__in_a_forked_child__enosys_until_the_parent_closed(void **state)
{
	struct end *end;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* it allows no threads after fork() */
#endif
	end = end_open(test_where());
	for (int round = 0; round < 2; round++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0) {
			struct transport *transport;
			int err = ops->open(test_where(), &transport);

			if (err == 0)
				ops->close(transport);
			else
				ops->close(end_transport(end));
			_exit(-err);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), round == 0 ? ENOSYS : 0);
		if (round == 0)
			end_close(end);
	}
}

int main(void)
{
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, timing_reset, timing_reset)
	const struct CMUnitTest tests[] = {
		PLAIN(open__first_of_all__signals_and_memory_calls_stay_as_they_were),
		PLAIN(open__every_allocation_fails_once__error_and_no_leak),
		PLAIN(open__where_that_is_none__einval_names_it),
		PLAIN(open__every_form_of_where__can_be_connected_to),
		PLAIN(open__port_taken__eexist),
		PLAIN(connect__locator_that_is_none__einval_names_it),
		PLAIN(connect__every_allocation_fails_once__error_or_link),
		PLAIN(connect__nobody_there__econnrefused),
		PLAIN(connect__nobody_answers__etimedout),
		PLAIN(connect__wrong_cookie__refused_and_nothing_told),
		PLAIN(listen__garbage__closed_and_nothing_told),
		PLAIN(listen__says_nothing_or_half__closed_in_bounded_time),
		PLAIN(listen__many_say_nothing__bounded_and_others_are_served),
		PLAIN(connect__stranger_took_the_peers_name__the_peer_is_reached),
		PLAIN(worker__stranger_puts__memory_unchanged),
		PLAIN(open__threads_of_ucx__have_all_signals_blocked),
		PLAIN(open__in_a_forked_child__enosys_until_the_parent_closed),
	};

	timing = ucx_timing;
	log_open(LOG_ERROR, 0);
	return cmocka_run_group_tests_name("transport/ucx", tests, NULL, NULL);
}
