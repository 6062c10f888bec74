/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy.c -- copy loops for mapped memory
 *
 *   up to 128 bytes     overlapping words, no loop, no look at the CPU
 *   more                the CPU's widest vectors, through the cache
 *   from STRING_MIN     the CPU's string copy where that is fast: it does not read a destination
 *                       line that it is going to overwrite
 *   from RUN_MIN        the part of a run that lies beyond the stream length bypasses the cache
 *
 * A run is what is written without a gap by one thread's calls. glibc looks at one call alone,
 * and so takes the cache with every piece of a stream.
 *
 * Pieces shorter than STRING_MIN bypass it only from PIECES times the stream length on: to wait
 * for the store fence at the end of each costs a third of a 4 KiB piece, and it pays only where
 * the lines that a cached store reads first come from DRAM.
 *
 * Ordering: stores that bypass the cache are not ordered with later ones, so every call that used
 * them ends with a store fence: a signal that follows the copy is not seen before it.
 */
#include "transport/copy.h"

#include <stdbool.h>
#include <string.h>

#define RUN_MIN 2048 /* shorter pieces neither begin nor continue a run */
#define STREAM_DEFAULT (4u << 20)

static size_t stream_len = STREAM_DEFAULT;

void copy_stream_set(size_t len)
{
	__atomic_store_n(&stream_len, len, __ATOMIC_RELAXED);
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define CPUID_7_EBX_ERMS (1u << 9)
#define LINE 64u
#define PAGE 4096u
#define STRING_MIN (32u << 10)
#define SIDE_BY_SIDE 4u /* pages that a long stream writes at a time: as many DRAM banks */
#define PIECES 16u
#define AHEAD 2048u /* of a short piece, where the CPU's own prefetcher has not begun yet */

struct copy_loops {
	void (*cached)(uint8_t *dst, const uint8_t *src, size_t len); /* len > 128 */
	/* dst is aligned to LINE, len a multiple of it; no fence */
	void (*stream)(uint8_t *dst, const uint8_t *src, size_t len);
};

static inline void copy_u64(uint8_t *dst, const uint8_t *src)
{
	uint64_t word;

	memcpy(&word, src, sizeof(word));
	memcpy(dst, &word, sizeof(word));
}

static inline void copy_u32(uint8_t *dst, const uint8_t *src)
{
	uint32_t word;

	memcpy(&word, src, sizeof(word));
	memcpy(dst, &word, sizeof(word));
}

static inline void copy_128(uint8_t *dst, const uint8_t *src)
{
	_mm_storeu_si128((__m128i *)dst, _mm_loadu_si128((const __m128i *)src));
}

static inline void copy_512(uint8_t *dst, const uint8_t *src)
{
	copy_128(dst, src);
	copy_128(dst + 16, src + 16);
	copy_128(dst + 32, src + 32);
	copy_128(dst + 48, src + 48);
}

/* Two words, from the start and from the end, that overlap as needed. */
static inline void copy_small(uint8_t *dst, const uint8_t *src, size_t len)
{
	if (len > 64) {
		copy_512(dst, src);
		copy_512(dst + len - 64, src + len - 64);
	} else if (len > 32) {
		copy_128(dst, src);
		copy_128(dst + 16, src + 16);
		copy_128(dst + len - 32, src + len - 32);
		copy_128(dst + len - 16, src + len - 16);
	} else if (len > 16) {
		copy_128(dst, src);
		copy_128(dst + len - 16, src + len - 16);
	} else if (len >= 8) {
		copy_u64(dst, src);
		copy_u64(dst + len - 8, src + len - 8);
	} else if (len >= 4) {
		copy_u32(dst, src);
		copy_u32(dst + len - 4, src + len - 4);
	} else if (len) {
		uint8_t first = src[0], middle = src[len / 2], last = src[len - 1];

		dst[0] = first;
		dst[len / 2] = middle;
		dst[len - 1] = last;
	}
}

/*
 * The loops, once for each width. The cached one aligns its stores, and writes the unaligned ends
 * first; four vectors at a time. The stream goes SIDE_BY_SIDE pages at a time while it can.
 */
#define COPY_LOOPS(name, isa, vec, width, load, store, bypass)                                   \
	static __attribute__((target(isa))) void cached_##name(uint8_t *dst, const uint8_t *src, \
							       size_t len)                       \
	{                                                                                        \
		vec head = load((const vec *)src), tail, a, b, c, d;                             \
		size_t skip = (width) - ((uintptr_t)dst & ((width)-1));                          \
		uint8_t *end = dst + len - (width);                                              \
                                                                                                 \
		tail = load((const vec *)(src + len - (width)));                                 \
		if (len <= 4 * (width)) {                                                        \
			a = load((const vec *)(src + (width)));                                  \
			b = load((const vec *)(src + len - 2 * (width)));                        \
			store((vec *)dst, head);                                                 \
			store((vec *)(dst + (width)), a);                                        \
			store((vec *)(end - (width)), b);                                        \
			store((vec *)end, tail);                                                 \
			return;                                                                  \
		}                                                                                \
		store((vec *)dst, head);                                                         \
		dst += skip;                                                                     \
		src += skip;                                                                     \
		for (; dst + 4 * (width) <= end; dst += 4 * (width), src += 4 * (width)) {       \
			a = load((const vec *)src);                                              \
			b = load((const vec *)(src + (width)));                                  \
			c = load((const vec *)(src + 2 * (width)));                              \
			d = load((const vec *)(src + 3 * (width)));                              \
			store((vec *)dst, a);                                                    \
			store((vec *)(dst + (width)), b);                                        \
			store((vec *)(dst + 2 * (width)), c);                                    \
			store((vec *)(dst + 3 * (width)), d);                                    \
		}                                                                                \
		for (; dst < end; dst += (width), src += (width))                                \
			store((vec *)dst, load((const vec *)src));                               \
		store((vec *)end, tail);                                                         \
	}                                                                                        \
	static inline __attribute__((target(isa), always_inline)) void line_##name(              \
		uint8_t *dst, const uint8_t *src)                                                \
	{                                                                                        \
		for (size_t i = 0; i < LINE; i += (width))                                       \
			bypass((vec *)(dst + i), load((const vec *)(src + i)));                  \
	}                                                                                        \
	static __attribute__((target(isa))) void stream_##name(uint8_t *dst, const uint8_t *src, \
							       size_t len)                       \
	{                                                                                        \
		size_t block = SIDE_BY_SIDE * PAGE, i = 0;                                       \
                                                                                                 \
		for (; len - i >= block; i += block)                                             \
			for (size_t at = i; at < i + PAGE; at += LINE)                           \
				for (size_t p = 0; p < block; p += PAGE)                         \
					line_##name(dst + at + p, src + at + p);                 \
		for (; i < len; i += LINE) {                                                     \
			_mm_prefetch((const char *)src + i + AHEAD, _MM_HINT_T0);                \
			line_##name(dst + i, src + i);                                           \
		}                                                                                \
	}

COPY_LOOPS(sse2, "sse2", __m128i, 16, _mm_loadu_si128, _mm_storeu_si128, _mm_stream_si128)
COPY_LOOPS(avx2, "avx2", __m256i, 32, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_stream_si256)
COPY_LOOPS(avx512, "avx512f", __m512i, 64, _mm512_loadu_si512, _mm512_storeu_si512,
	   _mm512_stream_si512)

static void cached_string(uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t head = -(uintptr_t)dst & (LINE - 1);

	copy_small(dst, src, head);
	dst += head;
	src += head;
	len -= head;
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(len) : : "memory");
}

static const struct copy_loops loops_of[] = {
	{ cached_avx512, stream_avx512 },
	{ cached_avx2, stream_avx2 },
	{ cached_sse2, stream_sse2 },
};

static bool string_fast; /* written before loops, which says that it is known */

static const struct copy_loops *loops; /* any thread may find it out; all find the same */

static __attribute__((noinline, cold)) const struct copy_loops *loops_find(void)
{
	const struct copy_loops *found;
	unsigned a, b, c, d;

	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		found = &loops_of[0];
	else if (__builtin_cpu_supports("avx2"))
		found = &loops_of[1];
	else
		found = &loops_of[2];
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
		__atomic_store_n(&string_fast, b & CPUID_7_EBX_ERMS, __ATOMIC_RELAXED);
	__atomic_store_n(&loops, found, __ATOMIC_RELEASE); /* pairs with loops_get() */
	return found;
}

static inline const struct copy_loops *loops_get(void)
{
	const struct copy_loops *now = __atomic_load_n(&loops, __ATOMIC_ACQUIRE);

	return __builtin_expect(now != NULL, 1) ? now : loops_find();
}

static __thread __attribute__((tls_model("initial-exec"))) struct {
	const uint8_t *end; /* where the last piece ended */
	size_t len;
} run;

/* More than 128 bytes, around a part that bypasses the cache. */
static __attribute__((noinline)) void copy_stream(const struct copy_loops *with, uint8_t *dst,
						  const uint8_t *src, size_t len)
{
	size_t head = -(uintptr_t)dst & (LINE - 1), body = (len - head) & ~(size_t)(LINE - 1);

	copy_small(dst, src, head);
	with->stream(dst + head, src + head, body);
	head += body;
	copy_small(dst + head, src + head, len - head);
	_mm_sfence();
}

static void copy_run(const struct copy_loops *with, uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t before = run.end == dst ? run.len : 0;
	size_t limit = __atomic_load_n(&stream_len, __ATOMIC_RELAXED);

	run.end = dst + len;
	run.len = before + len;
	if (run.len > limit && (len >= STRING_MIN || run.len / PIECES > limit))
		copy_stream(with, dst, src, len);
	else if (len >= STRING_MIN && __atomic_load_n(&string_fast, __ATOMIC_RELAXED))
		cached_string(dst, src, len);
	else
		with->cached(dst, src, len);
}

void copy_bytes(void *dst, const void *src, size_t len)
{
	if (len <= 128)
		copy_small(dst, src, len);
	else if (len < RUN_MIN)
		loops_get()->cached(dst, src, len);
	else
		copy_run(loops_get(), dst, src, len);
}

#else

void copy_bytes(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
}

#endif
