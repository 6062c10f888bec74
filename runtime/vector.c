/* SPDX-License-Identifier: BSD-3-Clause */
/* vector.c -- strided put and get, copies between regions, and the plain-VA forms */
#include "base/error.h"
#include "runtime/instance.h"
#include "transport/copy.h"
#include <errno.h>

#define BOUNCE_SIZE 65536

static int vec_check(struct farbus_region *region, const struct farbus_vec *vec, size_t n,
		     uint32_t rights, const char *what)
{
	int err;

	if (!region || !vec || n == 0)
		return error_set(-EINVAL, "%s needs a region and at least one piece", what);
	for (size_t i = 0; i < n; i++) {
		uint64_t last = (vec[i].count ? vec[i].count : 1) - 1, span;

		if (!vec[i].local)
			return error_set(-EINVAL, "%s piece %zu: the local buffer is NULL", what,
					 i);
		if (last && vec[i].stride < vec[i].len)
			return error_set(-EINVAL,
					 "%s piece %zu: stride %zu is smaller than len %zu", what,
					 i, vec[i].stride, vec[i].len);
		if (__builtin_mul_overflow(last, vec[i].stride, &span) ||
		    __builtin_add_overflow(span, vec[i].len, &span))
			return error_set(-ERANGE, "%s piece %zu wraps around", what, i);
		err = region_refusal(region, vec[i].off, span, rights, what);
		if (err < 0)
			return err;
		if (vec[i].len == 0)
			return error_set(-EINVAL, "%s piece %zu has length 0", what, i);
	}
	return 0;
}

int farbus_putv(struct farbus_region *region, const struct farbus_vec *vec, size_t n)
{
	int err = vec_check(region, vec, n, FARBUS_R | FARBUS_W, "putv");

	for (size_t i = 0; err == 0 && i < n; i++)
		for (size_t k = 0; err == 0 && k < (vec[i].count ? vec[i].count : 1); k++)
			err = farbus_put(region, vec[i].off + k * vec[i].stride,
					 (const uint8_t *)vec[i].local + k * vec[i].local_stride,
					 vec[i].len);
	return err;
}

int farbus_getv(struct farbus_region *region, const struct farbus_vec *vec, size_t n)
{
	int err = vec_check(region, vec, n, FARBUS_R, "getv");

	if (err == 0 && region->served)
		return rma_getv(region, vec, n);
	for (size_t i = 0; err == 0 && i < n; i++)
		for (size_t k = 0; err == 0 && k < (vec[i].count ? vec[i].count : 1); k++)
			err = farbus_get(region, vec[i].off + k * vec[i].stride,
					 (uint8_t *)vec[i].local + k * vec[i].local_stride,
					 vec[i].len);
	return err;
}

int farbus_copy(struct farbus_region *dst, uint64_t dst_off, struct farbus_region *src,
		uint64_t src_off, size_t len)
{
	uint8_t bounce[BOUNCE_SIZE];
	int err;

	if (!dst || !src)
		return error_set(-EINVAL, "copy needs two regions");
	err = region_refusal(dst, dst_off, len, FARBUS_R | FARBUS_W, "copy to");
	if (err == 0)
		err = region_refusal(src, src_off, len, FARBUS_R, "copy from");
	while (err == 0 && len) {
		size_t n = len < sizeof(bounce) ? len : sizeof(bounce);

		err = farbus_get(src, src_off, bounce, n);
		if (err == 0)
			err = farbus_put(dst, dst_off, bounce, n);
		src_off += n;
		dst_off += n;
		len -= n;
	}
	return err;
}

/* The region behind [va, va + len), which must lie in windows that continue one another. */
static int va_region(struct farbus *farbus, const void *va, size_t len, uint32_t rights,
		     struct farbus_region **ret_region, uint64_t *ret_off)
{
	struct window_hit hit, end;
	struct farbus_region *region;

	if (len == 0)
		return error_set(-EINVAL, "0 bytes at %p: give a length of 1 or more", va);
	if (!window_find(farbus, va, &hit))
		return error_set(-EFAULT, "%p is in no window: pass an address of farbus_map()",
				 va);
	if (!window_find(farbus, (const uint8_t *)va + len - 1, &end) || end.import != hit.import ||
	    end.off - hit.off != len - 1)
		return error_set(-ERANGE, "%p + %zu runs past its window", va, len);
	if (rights & ~hit.rights)
		return error_set(-EACCES,
				 "the window at %p lacks the right: map it with PROT_WRITE "
				 "and a token that has it",
				 va);
	region = region_by_import(farbus, hit.import);
	if (!region)
		return error_set(-EFAULT, "the window at %p is going away", va);
	*ret_region = region;
	*ret_off = hit.off;
	return 0;
}

int farbus_put_va(struct farbus *farbus, void *va, const void *src, size_t len)
{
	struct farbus_region *region;
	uint64_t off;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	err = va_region(farbus, va, len, FARBUS_R | FARBUS_W, &region, &off);
	if (err < 0)
		return err;
	return farbus_put(region, off, src, len);
}

int farbus_get_va(struct farbus *farbus, const void *va, void *dst, size_t len)
{
	struct farbus_region *region;
	uint64_t off;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	err = va_region(farbus, va, len, FARBUS_R, &region, &off);
	if (err < 0)
		return err;
	return farbus_get(region, off, dst, len);
}

int farbus_atomic_va(struct farbus *farbus, void *va, enum farbus_atomic_op op, size_t width,
		     uint64_t operand, uint64_t compare, uint64_t *ret_old)
{
	struct farbus_region *region;
	uint64_t off;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	err = va_region(farbus, va, width, FARBUS_R | FARBUS_W | FARBUS_A, &region, &off);
	if (err < 0)
		return err;
	return farbus_atomic(region, off, op, width, operand, compare, ret_old);
}
