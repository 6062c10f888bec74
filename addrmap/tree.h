/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree.h -- intrusive ordered trees: libbsd's red-black tree (a header, nothing to link)
 *
 * RB_HEAD, RB_ENTRY, RB_INSERT, RB_FIND, RB_NFIND, ...: tree(3bsd). Nothing here allocates.
 */
#ifndef ADDRMAP_TREE_H
#define ADDRMAP_TREE_H

#include <bsd/sys/tree.h>

/* RB_GENERATE_STATIC of libbsd 0.11 needs a macro that glibc does not have. */
#define TREE_GENERATE(name, type, field, compare) \
	RB_GENERATE_INTERNAL(name, type, field, compare, static __attribute__((unused)))

/* Finding does not write, but takes no const head. */
#define TREE_CONST(name, head) ((struct name *)(uintptr_t)(head))

#endif
