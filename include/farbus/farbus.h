/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farbus.h -- one address map for the processes of a job
 *
 * A job is a set of instances (ranks 0 .. size-1). An instance owns regions of memory and hands
 * out tokens for them; whoever holds a token imports the region and reaches it by put, get and
 * atomics, or maps it and uses plain loads and stores.
 *
 * Conventions
 *   - Functions return 0 or a negative errno. Each number has one meaning: docs/errors.md.
 *     farbus_last_error() then has one line for people: what failed, and what to do about it.
 *   - Results go through ret_ pointers, written only on success.
 *   - Sizes and offsets are bytes; timeouts are milliseconds, and FARBUS_TIMEOUT_DEFAULT (-1)
 *     stands for conf.timeout_ms (30 s unless set). There is no way to wait for ever.
 *   - Zero-initialised option structs give the defaults; a NULL option pointer does too.
 *   - Threads: unless a call says otherwise, any thread. No call is async-signal-safe, and in a
 *     forked child every call returns -ECHILD.
 */
#ifndef FARBUS_FARBUS_H
#define FARBUS_FARBUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FARBUS_VERSION_MAJOR 0
#define FARBUS_VERSION_MINOR 1
#define FARBUS_VERSION_PATCH 0

#if defined(__GNUC__)
#define FARBUS_API __attribute__((visibility("default")))
#else
#define FARBUS_API
#endif

#define FARBUS_TIMEOUT_DEFAULT (-1)
#define FARBUS_NAME_MAX 64	/* bytes of a published name, with its NUL */
#define FARBUS_TOKEN_SIZE 128	/* bytes of a token's text, with its NUL */
#define FARBUS_MESSAGE_MAX 4096 /* bytes of a broadcast or an allreduce */
#define FARBUS_REGION_MAX 65536 /* own regions of an instance */
#define FARBUS_CHAIN_MAX 8	/* grants chained from one another */

struct farbus;
struct farbus_region;

/* A bus address: names a byte of a region for the life of the job, wherever its home is. */
typedef struct {
	uint64_t region; /* birth instance id << 32 | serial */
	uint64_t offset;
} farbus_addr_t;

/* Printable, NUL-terminated text: print it, publish it, paste it. Treat it like a password. */
struct farbus_token {
	char text[FARBUS_TOKEN_SIZE];
};

/* ---- instance ---------------------------------------------------------------------------- */

struct farbus_conf {
	/*
	 * job == NULL: rank and size come from the launcher (PMI_FD: farbus-run, Hydra, srun), or,
	 * without one, the instance is rank 0 of 1. job != NULL: a name that all instances of this
	 * job on this host give, with rank and size; no launcher is asked. It is also the secret
	 * the instances prove to each other, so make it one that only they know. With
	 * FARBUS_JOIN=host:port in the environment they meet there, on any hosts; rank 0 listens.
	 */
	const char *job;
	uint32_t rank;
	uint32_t size;
	uint32_t timeout_ms; /* default of every wait; 0: the setting FARBUS_TIMEOUT, else 30000 */
};

struct farbus_self {
	uint32_t rank, size;
	uint32_t local_rank, local_size; /* among the instances of this host */
	uint32_t instance;		 /* unique in the job, never reused */
	uint32_t incarnation;
	uint64_t job;
};

/*
 * Joins the job. Bounded by the timeout: rank 0 must be there by then.
 * Errors: -EINVAL bad conf, -EEXIST this rank is open already, -ETIMEDOUT rank 0 did not answer,
 * -EPROTO the launcher speaks another protocol or the ranks disagree, -EACCES wrong job secret,
 * -EHOSTDOWN another rank ended meanwhile, -ENOENT FARBUS_JOIN is no address of rank 0's host,
 * -ENOSPC no room for the counter file, -ENOMEM, -EMFILE.
 * Ownership: the caller owns *ret_farbus until farbus_close().
 */
FARBUS_API int farbus_open(const struct farbus_conf *conf, struct farbus **ret_farbus);

/*
 * Leaves the job: releases every import, withdraws every region, tells the peers. Bounded, and
 * safe after any failure. Takes NULL. Only while no other thread uses this instance.
 */
FARBUS_API int farbus_close(struct farbus *farbus);

FARBUS_API int farbus_self(struct farbus *farbus, struct farbus_self *ret_self);

enum farbus_event_kind {
	FARBUS_EVENT_PEER_LOST =
		1,		  /* an instance died or closed; imports from it fail from now on */
	FARBUS_EVENT_REVOKED = 2, /* an import of ours was revoked by its owner */
	FARBUS_EVENT_OVERFLOW = 3, /* more events than fit were pending: some are missing */
	FARBUS_EVENT_PEER_SILENT =
		4, /* an instance left a request unanswered until its deadline: it may be stopped,
		    * but is not dead. Told once, and again after it has answered something */
};

struct farbus_event {
	uint32_t kind;	   /* enum farbus_event_kind */
	uint32_t rank;	   /* whom it is about */
	uint32_t instance; /* the same, as instance id */
	int32_t status;	   /* negative errno: why */
	uint64_t region;   /* REVOKED: the region's id, else 0 */
};

/*
 * Takes up to max pending events, waiting for the first one. Writes how many to *ret_count.
 * Errors: -ETIMEDOUT none came. A timeout of 0 only looks.
 */
FARBUS_API int farbus_poll(struct farbus *farbus, struct farbus_event *event, size_t max,
			   int timeout_ms, size_t *ret_count);

/* A descriptor that polls readable while events are pending. Borrowed: do not read or close it. */
FARBUS_API int farbus_fd(struct farbus *farbus);

/* Ends the job: every instance is told and the launcher ends with this exit code. No return. */
FARBUS_API void farbus_abort(struct farbus *farbus, int exit_code, const char *why)
	__attribute__((noreturn));

/* One line for an error number as farbus uses it. Never NULL, static storage. */
FARBUS_API const char *farbus_strerror(int error);

/*
 * The calling thread's last failure in one line: what failed, what it needed, what to do.
 * Never NULL; valid until the thread's next failing call.
 */
FARBUS_API const char *farbus_last_error(void);

/* "0.1.0" */
FARBUS_API const char *farbus_version(void);

/* ---- names and small collectives --------------------------------------------------------- */

/*
 * Binds a name to a token for the whole job. Names live as long as the instance that published
 * them. Errors: -EEXIST somebody else holds the name, -ENAMETOOLONG, -ENOSPC too many names.
 */
FARBUS_API int farbus_publish(struct farbus *farbus, const char *name,
			      const struct farbus_token *token);

/* Waits until the name is published. Errors: -ETIMEDOUT (0: only look), -ENAMETOOLONG. */
FARBUS_API int farbus_lookup(struct farbus *farbus, const char *name, int timeout_ms,
			     struct farbus_token *ret_token);

/*
 * Collectives: every rank calls them in the same order, from one thread at a time.
 * Errors: -EHOSTDOWN an instance died (all survivors get it), -ETIMEDOUT somebody did not come,
 * -EPROTO the ranks called different collectives or sizes, -EBUSY another thread is in one.
 * After an error the job's collectives stay failed: ranks no longer agree on where they are.
 */
FARBUS_API int farbus_barrier(struct farbus *farbus, int timeout_ms);

/* root's len bytes (<= FARBUS_MESSAGE_MAX) arrive in everybody's data. */
FARBUS_API int farbus_broadcast(struct farbus *farbus, uint32_t root, void *data, size_t len,
				int timeout_ms);

enum farbus_type { FARBUS_U64 = 1, FARBUS_I64 = 2, FARBUS_F64 = 3 };
enum farbus_reduce { FARBUS_SUM = 1, FARBUS_MIN = 2, FARBUS_MAX = 3 };

/*
 * Combines count elements (8 bytes each, <= FARBUS_MESSAGE_MAX in all) of every rank, in rank
 * order: the result has the same bits on every rank and in every run.
 */
FARBUS_API int farbus_allreduce(struct farbus *farbus, void *data, size_t count,
				enum farbus_type type, enum farbus_reduce op, int timeout_ms);

/* ---- regions and tokens ------------------------------------------------------------------ */

#define FARBUS_R 0x1u  /* get, load */
#define FARBUS_W 0x2u  /* put, store; needs R */
#define FARBUS_A 0x4u  /* atomics; needs R and W */
#define FARBUS_M 0x8u  /* move the region's home */
#define FARBUS_G 0x10u /* grant on, with the same rights or fewer */

#define FARBUS_REGION_HUGE 0x1u	   /* try for 2 MiB pages; region_info says what was got */
#define FARBUS_REGION_SAME_VA 0x2u /* reserve one VA that is free in every instance */

/*
 * Zeroed memory of our own, rounded up to pages, all of it allocated now: -ENOMEM here instead of
 * SIGBUS later. Ownership: the caller owns *ret_region until farbus_region_release().
 * Errors: -EINVAL len is 0, -ENOMEM, -ENOSPC more than FARBUS_REGION_MAX regions.
 */
FARBUS_API int farbus_region_alloc(struct farbus *farbus, size_t len, uint32_t flags,
				   struct farbus_region **ret_region);

#define FARBUS_ADOPT_REPLACE 0x1u

struct farbus_memory {
	int fd;	      /* >= 0: a memfd or file opened for writing, dup'd here; -1: memory at va */
	uint64_t off; /* page-aligned start in fd */
	void *va;     /* fd >= 0: where it is mapped already, or NULL to map it here */
	size_t len;
	uint32_t flags; /* FARBUS_ADOPT_REPLACE: copy anonymous memory at va to a memfd, and map
			 * that in its place; nothing else may touch or pin it meanwhile */
};

/*
 * Makes memory that exists already a region. Memory at va without REPLACE cannot be mapped by
 * others: their access is served by this instance, and region_info says so.
 * Errors: -EINVAL alignment, -EBADF not open for writing, -ERANGE fd is shorter than off + len,
 * -EFAULT va is not mapped, -EACCES not for reading and writing. It has to stay so.
 */
FARBUS_API int farbus_region_adopt(struct farbus *farbus, const struct farbus_memory *memory,
				   struct farbus_region **ret_region);

/*
 * Gives an own region or an import back. An own region is withdrawn: its grants are revoked
 * first, bounded by the default timeout. Windows onto it are unmapped. Takes NULL.
 */
FARBUS_API int farbus_region_release(struct farbus_region *region);

#define FARBUS_GRANT_SERVED 0x1u /* never map it into another process: every access is checked */

struct farbus_grant_opts {
	uint32_t flags;
	uint32_t expiry_s; /* seconds from now after which no new import succeeds; 0: never */
};

/*
 * A token for [off, off + len) with these rights; offset 0 of an import of it is off here. On an
 * own region it is made at once; on an import (needs FARBUS_G there) the region's home makes it.
 *
 * What a grant means after revoke depends on its access class (docs/security.md): by default a
 * page-aligned range is mapped into importers of the same user, else, or with
 * FARBUS_GRANT_SERVED, every access is carried out by the home.
 * Errors: -EINVAL rights that do not go together, -ERANGE past the end, -EACCES more than the
 * import has, -ELOOP chained deeper than FARBUS_CHAIN_MAX, -ENOSPC, -EHOSTDOWN, -ETIMEDOUT.
 */
FARBUS_API int farbus_region_grant(struct farbus_region *region, uint64_t off, uint64_t len,
				   uint32_t rights, const struct farbus_grant_opts *opts,
				   struct farbus_token *ret_token);

#define FARBUS_REVOKE_FORCE 0x1u

/*
 * Ends a grant and all that were chained from it. When it returns 0 no write through it lands any
 * more and new imports fail with -ESTALE. By the region's home, or by whoever made the grant.
 * A rotated-out token ends alone; the rotated-in one goes on.
 *
 * -ETIMEDOUT: an importer did not answer (stopped?); nothing can be imported, but its mapping may
 * still write. Call again to wait on, or with FARBUS_REVOKE_FORCE: the home moves the region to
 * new memory and takes the old from under that importer, which gets SIGBUS when it goes on.
 * Errors: -ETIMEDOUT, -ESTALE it has ended already (also between two calls: the importer answered),
 * -EACCES a token of somebody else, or altered, -ENOENT.
 */
FARBUS_API int farbus_region_revoke(struct farbus *farbus, const struct farbus_token *token,
				    uint32_t flags, int timeout_ms);

/*
 * Gives the same grant a new token; the old one stays valid until it is revoked or the grant is
 * rotated again. Holders of the new one call farbus_region_renew() on their import and are not
 * disturbed when the old one goes. By the region's home.
 */
FARBUS_API int farbus_grant_rotate(struct farbus *farbus, const struct farbus_token *token,
				   struct farbus_token *ret_token);

/*
 * Two-sided: asks the home, sets up everything, so that access after it is one-sided where
 * region_info says so.
 * Errors: -EACCES altered token or other job, -ESTALE revoked, or its home restarted, -ETIME
 * expired, -EHOSTDOWN home is gone, -ETIMEDOUT home does not answer, -ENOSPC.
 */
FARBUS_API int farbus_region_import(struct farbus *farbus, const struct farbus_token *token,
				    int timeout_ms, struct farbus_region **ret_region);

/* Puts an import on the rotated token, without a gap. Errors: as import. */
FARBUS_API int farbus_region_renew(struct farbus_region *region, const struct farbus_token *token,
				   int timeout_ms);

enum farbus_path {
	FARBUS_PATH_OWN = 1,	/* our own memory */
	FARBUS_PATH_MAPPED = 2, /* mapped from the home on the same host */
	FARBUS_PATH_SERVED = 4, /* carried out by the home's service thread */
	FARBUS_PATH_FABRIC = 8, /* by the network's devices; onesided says which operations */
};

#define FARBUS_ONESIDED_PUT 0x1u /* completes while every thread of the target is stopped */
#define FARBUS_ONESIDED_GET 0x2u
#define FARBUS_ONESIDED_ATOMIC 0x4u

struct farbus_region_info {
	uint64_t region; /* id */
	uint64_t off;	 /* of our offset 0 in the region */
	uint64_t len;
	uint32_t rights;
	uint32_t home_rank, home_instance;
	uint32_t generation; /* counts moves */
	uint32_t path;	     /* enum farbus_path */
	uint32_t onesided;   /* FARBUS_ONESIDED_ bits */
	uint64_t page_size;  /* bytes, as got */
	int32_t status;	     /* 0, or why every access fails now: -EHOSTDOWN, -ESTALE */
	const char *transport;
	void *va; /* own region: its memory; import: NULL */
};

FARBUS_API int farbus_region_info(struct farbus_region *region,
				  struct farbus_region_info *ret_info);

enum farbus_advice {
	FARBUS_ADVISE_POPULATE = 1, /* fault the mapping in now, so that no access does later */
};

FARBUS_API int farbus_region_advise(struct farbus_region *region, uint64_t off, uint64_t len,
				    enum farbus_advice advice);

/* ---- windows ----------------------------------------------------------------------------- */

#define FARBUS_MAP_DIRECT 0x0u
#define FARBUS_MAP_PAGED 0x1u	/* fetch pages on demand: not available on one host's paths */
#define FARBUS_MAP_SAME_VA 0x2u /* at the address the region was allocated with */
#define FARBUS_MAP_FENCE 0x4u	/* when the home dies, make the window inaccessible */

/*
 * A window: local addresses whose loads and stores go to the region. prot is PROT_READ, with
 * PROT_WRITE if wanted; off is a multiple of the page size. When the home dies, or the link to it ends,
 * the bytes of a window stay readable (last state) and stores go to copies of its pages that nobody
 * else sees, unless FARBUS_MAP_FENCE.
 * Errors: -ENOTSUP no direct mapping on this path (the text says why), -EACCES rights,
 * -ERANGE, -EINVAL, -EEXIST the SAME_VA address is taken here, -ENOMEM.
 */
FARBUS_API int farbus_map(struct farbus_region *region, uint64_t off, size_t len, int prot,
			  uint32_t flags, void **ret_va);

/*
 * A whole window or part of one, in pages. Errors: -ENOENT no window there, -ENOMEM for taking out
 * a part: it stays.
 */
FARBUS_API int farbus_unmap(struct farbus *farbus, void *va, size_t len);

/* The bus address behind a VA of a window or an own region. Errors: -ENOENT. */
FARBUS_API int farbus_where(struct farbus *farbus, const void *va, farbus_addr_t *ret_addr);

/* The handle and offset that reach a bus address here. Borrows the region. Errors: -ENOENT. */
FARBUS_API int farbus_addr_resolve(struct farbus *farbus, farbus_addr_t addr,
				   struct farbus_region **ret_region, uint64_t *ret_off);

/* ---- remote memory access ---------------------------------------------------------------- */

/*
 * put returns when src can be reused; get when dst is filled. Errors of all of these: -EACCES
 * rights, -ERANGE past the end, -EINVAL length 0 or an unaligned atomic, -ESTALE revoked,
 * -EHOSTDOWN home is gone, -ETIMEDOUT (served path) home does not answer.
 * <farbus/inline.h> has put, get and atomics of up to 16 bytes without a call.
 */
FARBUS_API int farbus_put(struct farbus_region *region, uint64_t off, const void *src, size_t len);
FARBUS_API int farbus_get(struct farbus_region *region, uint64_t off, void *dst, size_t len);

/* count pieces of len bytes: stride bytes apart in the region, local_stride at local. */
struct farbus_vec {
	uint64_t off;
	void *local;
	size_t len;
	size_t count; /* 0 stands for 1 */
	size_t stride, local_stride;
};

/* All pieces are checked before the first is written. */
FARBUS_API int farbus_putv(struct farbus_region *region, const struct farbus_vec *vec, size_t n);
FARBUS_API int farbus_getv(struct farbus_region *region, const struct farbus_vec *vec, size_t n);

/* From region to region, both reached from here; returns when dst is written. */
FARBUS_API int farbus_copy(struct farbus_region *dst, uint64_t dst_off, struct farbus_region *src,
			   uint64_t src_off, size_t len);

enum farbus_atomic_op {
	FARBUS_ADD = 1,
	FARBUS_AND = 2,
	FARBUS_OR = 3,
	FARBUS_XOR = 4,
	FARBUS_SWAP = 5,
	FARBUS_CAS = 6, /* stores operand if the memory equals compare */
};

/* width is 4 or 8, off a multiple of it. ret_old may be NULL: nothing is fetched. */
FARBUS_API int farbus_atomic(struct farbus_region *region, uint64_t off, enum farbus_atomic_op op,
			     size_t width, uint64_t operand, uint64_t compare, uint64_t *ret_old);

/*
 * Stores (SWAP) or adds (ADD) the 8-byte value at off after all earlier puts of this thread to
 * this region are visible there, and wakes whoever waits in farbus_wait().
 */
FARBUS_API int farbus_signal(struct farbus_region *region, uint64_t off, uint64_t value,
			     enum farbus_atomic_op op);

enum farbus_compare {
	FARBUS_EQ = 1,
	FARBUS_NE = 2,
	FARBUS_GE = 3, /* unsigned */
};

/*
 * Waits until the 8 bytes at off compare true with value. A signal wakes at once, a plain store
 * or put is noticed within a millisecond. Errors: -ETIMEDOUT, -EHOSTDOWN, -ESTALE.
 */
FARBUS_API int farbus_wait(struct farbus_region *region, uint64_t off, enum farbus_compare compare,
			   uint64_t value, int timeout_ms, uint64_t *ret_seen);

enum farbus_flush_level {
	FARBUS_FLUSH_ORDER = 1,	 /* later puts become visible after earlier ones */
	FARBUS_FLUSH_LOCAL = 2,	 /* every source buffer can be reused */
	FARBUS_FLUSH_REMOTE = 3, /* visible to the CPUs of the target */
};

/*
 * Covers this thread's earlier operations on the region (NULL: on all). Returns an asynchronous
 * failure of them once.
 */
FARBUS_API int farbus_flush(struct farbus *farbus, struct farbus_region *region,
			    enum farbus_flush_level level, int timeout_ms);

/* The same by plain VA inside a window (or an own region). Errors: also -EFAULT, no window at va. */
FARBUS_API int farbus_put_va(struct farbus *farbus, void *va, const void *src, size_t len);
FARBUS_API int farbus_get_va(struct farbus *farbus, const void *va, void *dst, size_t len);
FARBUS_API int farbus_atomic_va(struct farbus *farbus, void *va, enum farbus_atomic_op op,
				size_t width, uint64_t operand, uint64_t compare,
				uint64_t *ret_old);

#ifdef __cplusplus
}
#endif

#endif
