/* SPDX-License-Identifier: BSD-3-Clause */
/* boot.c -- chooses the source that rank, size and small blobs come from */
#include "runtime/boot/boot.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/boot/single.h"
#include "runtime/boot/source.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum source { SOURCE_SINGLE, SOURCE_PMI1, SOURCE_TCP };

struct boot {
	/* one of them is owned, the others are NULL */
	struct pmi1 *pmi1;
	struct tcp *tcp;
	struct single *single;
};

/* Which source FARBUS_BOOT and the launcher's environment ask for. */
static int source_choose(const struct config *config, enum source *ret_source)
{
	const char *forced = config->boot;
	bool pmi1_there = getenv("PMI_FD") != NULL;

	if (strcmp(forced, "auto") == 0) {
		*ret_source = pmi1_there      ? SOURCE_PMI1 :
			      config->join[0] ? SOURCE_TCP :
						SOURCE_SINGLE;
		if (pmi1_there && config->join[0])
			log_info("FARBUS_JOIN is not used, because a launcher started this "
				 "process: FARBUS_BOOT=tcp prefers it");
		return 0;
	}
	if (strcmp(forced, "single") == 0) {
		*ret_source = SOURCE_SINGLE;
		return 0;
	}
	if (strcmp(forced, "tcp") == 0) {
		if (!config->join[0])
			return error_set(-EINVAL, "FARBUS_BOOT=tcp but FARBUS_JOIN is not set: "
						  "give it host:port of rank 0");
		*ret_source = SOURCE_TCP;
		return 0;
	}
	if (strcmp(forced, "pmix") == 0)
		return error_set(-EINVAL, "FARBUS_BOOT=pmix: this build has no PMIx source; use "
					  "farbus-run, mpiexec.hydra or srun --mpi=pmi2 and leave "
					  "FARBUS_BOOT unset");
	if (strcmp(forced, "pmi1") != 0)
		return error_set(-EINVAL, "FARBUS_BOOT=%.40s: give auto, pmi1, tcp or single",
				 forced);
	if (!pmi1_there)
		return error_set(-EINVAL,
				 "FARBUS_BOOT=pmi1 but PMI_FD is not set: start with "
				 "farbus-run or mpiexec.hydra, or unset FARBUS_BOOT to run "
				 "alone");
	*ret_source = SOURCE_PMI1;
	return 0;
}

int boot_open(const struct config *config, uint64_t timeout_ns, struct boot **ret_boot,
	      struct boot_info *ret_info)
{
	enum source source;
	struct boot *boot;
	int err = source_choose(config, &source);

	if (err < 0)
		return err;
	boot = alloc_zero(sizeof(*boot));
	if (!boot)
		return error_set(-ENOMEM, "no memory for the bootstrap");
	if (source == SOURCE_PMI1)
		err = pmi1_open(timeout_ns, &boot->pmi1, ret_info);
	else if (source == SOURCE_TCP)
		err = tcp_open(config, timeout_ns, &boot->tcp, ret_info);
	else
		err = single_open(&boot->single, ret_info);
	if (err < 0) {
		free(boot);
		return err;
	}
	*ret_boot = boot;
	return 0;
}

int boot_put(struct boot *boot, const char *key, const void *value, size_t len)
{
	if (boot->pmi1)
		return pmi1_put(boot->pmi1, key, value, len);
	if (boot->tcp)
		return tcp_put(boot->tcp, key, value, len);
	return single_put(boot->single, key, value, len);
}

int boot_fence(struct boot *boot, uint64_t timeout_ns)
{
	if (boot->pmi1)
		return pmi1_fence(boot->pmi1, timeout_ns);
	return boot->tcp ? tcp_fence(boot->tcp, timeout_ns) : 0;
}

int boot_get(struct boot *boot, const char *key, void *ret_value, size_t size, size_t *ret_len,
	     uint64_t timeout_ns)
{
	if (boot->pmi1)
		return pmi1_get(boot->pmi1, key, ret_value, size, ret_len, timeout_ns);
	if (boot->tcp)
		return tcp_get(boot->tcp, key, ret_value, size, ret_len, timeout_ns);
	return single_get(boot->single, key, ret_value, size, ret_len);
}

void boot_close(struct boot *boot)
{
	if (!boot)
		return;
	pmi1_close(boot->pmi1);
	tcp_close(boot->tcp);
	single_close(boot->single);
	free(boot);
}

/* PMI-1 has no text; the caller logged it, and the launcher passes stderr on. */
void boot_abort(struct boot *boot, int exit_code, const char *why)
{
	if (boot && boot->pmi1)
		pmi1_abort(boot->pmi1, exit_code);
	if (boot && boot->tcp)
		tcp_abort(boot->tcp, why);
}
