/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * csum_x86.c -- sums with AVX2 and AVX-512
 *
 * AVX2 adds low and high halves of 32-bit lanes apart. AVX-512 with VNNI has one instruction that
 * multiplies bytes by 1 or 0 and adds four of them to a lane: even and odd bytes are summed apart,
 * and sum = even + 256 * odd. What is longer than a packet can be is summed in parts. Nothing is
 * read or written past len.
 */
#include "nicdrv/device/csum_x86.h"

#ifdef __x86_64__
#include <immintrin.h>

#define PART (1u << 16) /* even, and the sum of all lanes, odd bytes times 256, fits 32 bits */

#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vnni,bmi2")))

typedef uint32_t (*part_fn)(void *to, const void *from, size_t len);

static inline __attribute__((always_inline)) uint32_t by_parts(part_fn part, uint8_t *to,
							       const uint8_t *from, size_t len)
{
	uint64_t sum = 0;

	for (; __builtin_expect(len > PART, 0); len -= PART, from += PART) {
		sum += part(to, from, PART);
		to = to ? to + PART : NULL;
	}
	return csum_fold(sum + part(to, from, len));
}

/* ---- AVX2 ---- */

static inline AVX2 uint64_t avx2_lanes(__m256i lanes)
{
	__m256i low = _mm256_and_si256(lanes, _mm256_set1_epi64x(0xffffffff));
	__m256i two = _mm256_add_epi64(low, _mm256_srli_epi64(lanes, 32));
	__m128i one = _mm_add_epi64(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));

	return (uint64_t)_mm_extract_epi64(one, 0) + (uint64_t)_mm_extract_epi64(one, 1);
}

static inline AVX2 __attribute__((always_inline)) uint32_t
avx2_part(uint8_t *to, const uint8_t *from, size_t len)
{
	const __m256i mask = _mm256_set1_epi32(0xffff);
	__m256i low = _mm256_setzero_si256(), high = low;

	for (; len >= 32; len -= 32, from += 32) {
		__m256i data = _mm256_loadu_si256((const void *)from);

		if (to) {
			_mm256_storeu_si256((void *)to, data);
			to += 32;
		}
		low = _mm256_add_epi32(low, _mm256_and_si256(data, mask));
		high = _mm256_add_epi32(high, _mm256_srli_epi32(data, 16));
	}
	uint64_t sum = avx2_lanes(low) + avx2_lanes(high);
	while (len > 0) {
		size_t n = len < 8 ? len : 8;
		uint64_t word = 0;

		memcpy(&word, from, n);
		if (to) {
			memcpy(to, from, n);
			to += n;
		}
		sum += (word & 0xffffffff) + (word >> 32);
		len -= n;
		from += n;
	}
	return csum_fold(sum);
}

static AVX2 uint32_t avx2_part_sum(void *to, const void *from, size_t len)
{
	(void)to;
	return avx2_part(NULL, from, len);
}

static AVX2 uint32_t avx2_part_copy(void *to, const void *from, size_t len)
{
	return avx2_part(to, from, len);
}

static uint32_t avx2_sum(const void *data, size_t len)
{
	return by_parts(avx2_part_sum, NULL, data, len);
}

static uint32_t avx2_copy(void *restrict to, const void *restrict from, size_t len)
{
	return by_parts(avx2_part_copy, to, from, len);
}

/* ---- AVX-512 with VNNI ---- */

struct vnni {
	__m512i even, odd;
};

#define VNNI_INLINE VNNI __attribute__((always_inline))

static inline VNNI_INLINE void vnni_add(struct vnni *sum, __m512i data)
{
	sum->even = _mm512_dpbusd_epi32(sum->even, data, _mm512_set1_epi16(0x0001));
	sum->odd = _mm512_dpbusd_epi32(sum->odd, data, _mm512_set1_epi16(0x0100));
}

static inline VNNI_INLINE void vnni_line(struct vnni *sum, uint8_t *to, const uint8_t *from)
{
	__m512i data = _mm512_loadu_si512(from);

	if (to)
		_mm512_storeu_si512(to, data);
	vnni_add(sum, data);
}

/* Fewer than 64 bytes. */
static inline VNNI_INLINE void vnni_some(struct vnni *sum, uint8_t *to, const uint8_t *from,
					 unsigned len)
{
	__mmask64 mask = _cvtu64_mask64(_bzhi_u64(UINT64_MAX, len));
	__m512i data = _mm512_maskz_loadu_epi8(mask, from);

	if (to)
		_mm512_mask_storeu_epi8(to, mask, data);
	vnni_add(sum, data);
}

static inline VNNI_INLINE void vnni_merge(struct vnni *sum, const struct vnni *other)
{
	sum->even = _mm512_add_epi32(sum->even, other->even);
	sum->odd = _mm512_add_epi32(sum->odd, other->odd);
}

/*
 * Four sums side by side, because an addition takes five cycles and two begin in each. They are
 * variables, not an array: gcc 12 keeps an array in memory.
 */
static inline VNNI_INLINE uint32_t vnni_part(uint8_t *to, const uint8_t *from, size_t len)
{
	const __m512i zero = _mm512_setzero_si512();
	struct vnni a = { zero, zero }, b = a, c = a, d = a;

	for (; len >= 256; len -= 256, from += 256) {
		vnni_line(&a, to, from);
		vnni_line(&b, to ? to + 64 : NULL, from + 64);
		vnni_line(&c, to ? to + 128 : NULL, from + 128);
		vnni_line(&d, to ? to + 192 : NULL, from + 192);
		to = to ? to + 256 : NULL;
	}
	if (len & 128) {
		vnni_line(&a, to, from);
		vnni_line(&b, to ? to + 64 : NULL, from + 64);
		from += 128;
		to = to ? to + 128 : NULL;
	}
	if (len & 64) {
		vnni_line(&c, to, from);
		from += 64;
		to = to ? to + 64 : NULL;
	}
	if (len & 63)
		vnni_some(&d, to, from, len & 63);
	vnni_merge(&a, &b);
	vnni_merge(&c, &d);
	vnni_merge(&a, &c);
	__m512i lanes = _mm512_add_epi32(a.even, _mm512_slli_epi32(a.odd, 8));
	return csum_fold((uint32_t)_mm512_reduce_add_epi32(lanes));
}

static VNNI uint32_t vnni_part_sum(void *to, const void *from, size_t len)
{
	(void)to;
	return vnni_part(NULL, from, len);
}

static VNNI uint32_t vnni_part_copy(void *to, const void *from, size_t len)
{
	return vnni_part(to, from, len);
}

static uint32_t vnni_sum(const void *data, size_t len)
{
	return by_parts(vnni_part_sum, NULL, data, len);
}

static uint32_t vnni_copy(void *restrict to, const void *restrict from, size_t len)
{
	return by_parts(vnni_part_copy, to, from, len);
}

/* ---- choice ---- */

static const struct csum_ops avx2 = { "avx2", avx2_sum, avx2_copy };
static const struct csum_ops vnni = { "avx512vnni", vnni_sum, vnni_copy };

const struct csum_ops *csum_x86_variant(unsigned index)
{
	const struct csum_ops *found[2];
	unsigned count = 0;

	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2"))
		found[count++] = &avx2;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("bmi2"))
		found[count++] = &vnni;
	return index < count ? found[index] : NULL;
}

#else

const struct csum_ops *csum_x86_variant(unsigned index)
{
	(void)index;
	return NULL;
}

#endif
