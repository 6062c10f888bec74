/* SPDX-License-Identifier: BSD-3-Clause */
/* library.c -- libibverbs.so.1 and librdmacm.so.1, loaded when they are first needed */
#include "transport/verbs/verbs.h"

#include "base/alloc.h"
#include "base/error.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
static struct verbs_library library; /* protected by library_lock until it is loaded */
static bool library_loaded;

static const struct {
	const char *name;
	size_t at;
} symbols[] = {
#define VERBS_SYMBOL(member, name, result, arguments) \
	{ #name, offsetof(struct verbs_library, member) },
	VERBS_SYMBOLS(VERBS_SYMBOL)
#undef VERBS_SYMBOL
};

static int open_one(const char *name, const char *package, void **ret_handle)
{
	void *handle = alloc_fault_point() ? NULL : dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return error_set(-ENOSYS,
				 "transport verbs needs %s: install the packages %s and "
				 "ibverbs-providers (%s)",
				 name, package, dlerror());
	*ret_handle = handle;
	return 0;
}

static int library_load(void)
{
	void *handle[2];
	int err = open_one("libibverbs.so.1", "libibverbs1", &handle[0]);

	if (err == 0)
		err = open_one("librdmacm.so.1", "librdmacm1", &handle[1]);
	if (err < 0)
		return err;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		bool cm = strncmp(symbols[i].name, "rdma_", 5) == 0;
		void *symbol = dlsym(handle[cm], symbols[i].name);

		if (!symbol)
			return error_set(-ENOSYS, "%s has no %s: another library of that name?",
					 cm ? "librdmacm.so.1" : "libibverbs.so.1",
					 symbols[i].name);
		*(void **)((char *)&library + symbols[i].at) = symbol;
	}
	return 0;
}

int verbs_library_get(const struct verbs_library **ret_library)
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
