/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rights.h -- the rights lattice: W needs R, A needs R and W; a chained grant needs G and a subset
 */
#ifndef ADDRMAP_RIGHTS_H
#define ADDRMAP_RIGHTS_H

#include <farbus/farbus.h>
#include <stdbool.h>
#include <stddef.h>

#define RIGHTS_ALL (FARBUS_R | FARBUS_W | FARBUS_A | FARBUS_M | FARBUS_G)

/* Errors: -EINVAL, with the missing right named in the thread's error text. */
int rights_check(uint32_t rights);
bool rights_subset(uint32_t rights, uint32_t of);
/* "RWA--", always 5 characters. */
void rights_text(uint32_t rights, char ret_text[6]);

#endif
