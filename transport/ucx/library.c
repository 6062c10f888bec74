/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * library.c -- libucp.so.0, loaded when it is first needed
 *
 * Loading it does to the process what is for the application to decide:
 *   - handlers for SIGSEGV and others print a backtrace and end it: they are taken back.
 *   - mmap() and its relatives are patched, for a cache of registrations that we do not use. Only an
 *     environment variable prevents that, so it is loaded with an environment of its own.
 *   - its log goes to standard output: silenced, unless the user asked for it (UCX_LOG_LEVEL).
 *
 * UCX has a thread of its own while it is in use, which a fork() does not copy, and then believes that
 * it is there: a child of a process in which UCX is in use cannot use it.
 */
#include "transport/ucx/ucx.h"

#include "base/alloc.h"
#include "base/error.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY_NAME "libucp.so.0"
#define PACKAGE_NAME "libucx0"
#define SIGNAL_COUNT 32 /* the classical ones */

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ucx_library library; /* protected by library_lock until it is loaded */
static bool library_loaded;
static unsigned library_users; /* protected by library_lock, and so is: */
static pid_t library_pid;      /* of their process */

static const struct {
	const char *name;
	size_t at;
} symbols[] = {
	{ "ucp_get_version", offsetof(struct ucx_library, get_version) },
	{ "ucp_config_read", offsetof(struct ucx_library, config_read) },
	{ "ucp_config_modify", offsetof(struct ucx_library, config_modify) },
	{ "ucp_config_release", offsetof(struct ucx_library, config_release) },
	{ "ucp_init_version", offsetof(struct ucx_library, init_version) },
	{ "ucp_cleanup", offsetof(struct ucx_library, cleanup) },
	{ "ucp_worker_create", offsetof(struct ucx_library, worker_create) },
	{ "ucp_worker_destroy", offsetof(struct ucx_library, worker_destroy) },
	{ "ucp_worker_get_address", offsetof(struct ucx_library, worker_get_address) },
	{ "ucp_worker_release_address", offsetof(struct ucx_library, worker_release_address) },
	{ "ucp_worker_progress", offsetof(struct ucx_library, worker_progress) },
	{ "ucp_worker_get_efd", offsetof(struct ucx_library, worker_get_efd) },
	{ "ucp_worker_arm", offsetof(struct ucx_library, worker_arm) },
	{ "ucp_worker_set_am_recv_handler",
	  offsetof(struct ucx_library, worker_set_am_recv_handler) },
	{ "ucp_ep_create", offsetof(struct ucx_library, ep_create) },
	{ "ucp_ep_close_nbx", offsetof(struct ucx_library, ep_close_nbx) },
	{ "ucp_ep_flush_nbx", offsetof(struct ucx_library, ep_flush_nbx) },
	{ "ucp_am_send_nbx", offsetof(struct ucx_library, am_send_nbx) },
	{ "ucp_request_free", offsetof(struct ucx_library, request_free) },
	{ "ucs_status_string", offsetof(struct ucx_library, status_string) },
	{ "ucs_global_opts_set_value", offsetof(struct ucx_library, global_set) },
};

/* dlopen() in an environment with one more variable. Other threads may read either, for ever. */
static void *hookless_open(void)
{
	static char setting[] = "UCX_MEM_MMAP_HOOK_MODE=none";
	static char **environment;
	char **before = environ;
	size_t count = 0;
	void *handle;

	while (before && before[count])
		count++;
	free(environment);
	environment = alloc_array(count + 2, sizeof(*environment));
	if (!environment)
		return NULL;
	if (count)
		memcpy(environment, before, count * sizeof(*environment));
	if (!getenv("UCX_MEM_MMAP_HOOK_MODE"))
		environment[count] = setting;
	environ = environment;
	handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
	environ = before;
	return handle;
}

/* No signal does anything else afterwards. */
static void *library_open(void)
{
	struct sigaction before[SIGNAL_COUNT], after;
	void *handle;

	for (int i = 1; i < SIGNAL_COUNT; i++)
		if (sigaction(i, NULL, &before[i]) < 0)
			before[i].sa_handler = SIG_ERR;
	handle = hookless_open();
	for (int i = 1; i < SIGNAL_COUNT; i++)
		if (before[i].sa_handler != SIG_ERR && sigaction(i, NULL, &after) == 0 &&
		    after.sa_handler != before[i].sa_handler)
			sigaction(i, &before[i], NULL);
	return handle;
}

static int symbols_get(void *handle)
{
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *symbol = dlsym(handle, symbols[i].name);

		if (!symbol)
			return error_set(-ENOSYS, "%s has no %s: another library of that name?",
					 LIBRARY_NAME, symbols[i].name);
		*(void **)((char *)&library + symbols[i].at) = symbol;
	}
	return 0;
}

static int version_check(void)
{
	unsigned major, minor, release;

	library.get_version(&major, &minor, &release);
	if (major == UCP_API_MAJOR && minor >= UCP_API_MINOR)
		return 0;
	return error_set(-ENOSYS, "UCX %u.%u is installed, and transport ucx was built for %u.%u",
			 major, minor, UCP_API_MAJOR, UCP_API_MINOR);
}

static void library_quiet(void)
{
	if (!getenv("UCX_LOG_LEVEL"))
		library.global_set("LOG_LEVEL", "fatal");
	if (!getenv("UCX_HANDLE_ERRORS"))
		library.global_set("HANDLE_ERRORS", "none");
}

static int library_load(void)
{
	void *handle = alloc_fault_point() ? NULL : library_open();
	const char *why = handle ? "" : dlerror();
	int err;

	if (!handle)
		return error_set(-ENOSYS, "transport ucx needs %s: install the package %s (%s)",
				 LIBRARY_NAME, PACKAGE_NAME, why ? why : "no memory");
	err = symbols_get(handle);
	if (err == 0)
		err = version_check();
	if (err < 0)
		dlclose(handle);
	else
		library_quiet();
	return err;
}

int ucx_library_get(const struct ucx_library **ret_library)
{
	int err = 0;

	pthread_mutex_lock(&library_lock);
	if (!library_loaded)
		err = library_load();
	library_loaded = err == 0;
	pthread_mutex_unlock(&library_lock);
	if (err < 0)
		return err;
	*ret_library = &library;
	return 0;
}

int ucx_library_use(void)
{
	int err = 0;

	pthread_mutex_lock(&library_lock);
	if (library_users && library_pid != getpid())
		err = error_set(-ENOSYS,
				"UCX was in use when this process was forked, and cannot "
				"be used in it: fork() before the first instance is opened, or "
				"exec() afterwards");
	if (err == 0) {
		library_pid = getpid();
		library_users++;
	}
	pthread_mutex_unlock(&library_lock);
	return err;
}

void ucx_library_unuse(void)
{
	pthread_mutex_lock(&library_lock);
	library_users--;
	pthread_mutex_unlock(&library_lock);
}

bool ucx_library_forked(void)
{
	bool forked;

	pthread_mutex_lock(&library_lock);
	forked = library_pid != getpid();
	pthread_mutex_unlock(&library_lock);
	return forked;
}
