/* SPDX-License-Identifier: BSD-3-Clause */
/* csum_x86.h -- sums with AVX2 and AVX-512, for csum.c alone */
#ifndef NICDRV_DEVICE_CSUM_X86_H
#define NICDRV_DEVICE_CSUM_X86_H

#include "nicdrv/device/csum.h"

/* Those this CPU has, slowest first. NULL: index is past them. */
const struct csum_ops *csum_x86_variant(unsigned index);

#endif
