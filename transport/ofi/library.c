/* SPDX-License-Identifier: BSD-3-Clause */
/* library.c -- libfabric.so.1, loaded when it is first needed */
#include "transport/ofi/ofi.h"

#include "base/alloc.h"
#include "base/error.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#define LIBRARY_NAME "libfabric.so.1"

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ofi_library library; /* protected by library_lock until it is loaded */
static bool library_loaded;

static int symbol_get(void *handle, const char *name, void *ret_function)
{
	void *symbol = dlsym(handle, name);

	if (!symbol)
		return error_set(-ENOSYS, "%s has no %s: another library of that name?",
				 LIBRARY_NAME, name);
	*(void **)ret_function = symbol;
	return 0;
}

static int library_load(void)
{
	static const struct {
		const char *name;
		size_t at;
	} symbols[] = {
		{ "fi_getinfo", offsetof(struct ofi_library, getinfo) },
		{ "fi_freeinfo", offsetof(struct ofi_library, freeinfo) },
		{ "fi_dupinfo", offsetof(struct ofi_library, dupinfo) },
		{ "fi_fabric", offsetof(struct ofi_library, fabric) },
		{ "fi_strerror", offsetof(struct ofi_library, strerror) },
		{ "fi_version", offsetof(struct ofi_library, version) },
	};
	void *handle = alloc_fault_point() ? NULL : dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return error_set(-ENOSYS,
				 "transport ofi needs %s: install the package libfabric1 (%s)",
				 LIBRARY_NAME, dlerror());
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		int err = symbol_get(handle, symbols[i].name, (char *)&library + symbols[i].at);

		if (err < 0) {
			dlclose(handle);
			return err;
		}
	}
	return 0;
}

int ofi_library_get(const struct ofi_library **ret_library)
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
