/* SPDX-License-Identifier: BSD-3-Clause */
/* rights.c -- the rights lattice */
#include "addrmap/rights.h"

#include "base/error.h"
#include <errno.h>

int rights_check(uint32_t rights)
{
	if (rights == 0 || (rights & ~RIGHTS_ALL))
		return error_set(-EINVAL, "rights 0x%x: give one or more of FARBUS_R, W, A, M, G",
				 rights);
	if ((rights & FARBUS_W) && !(rights & FARBUS_R))
		return error_set(-EINVAL, "right W needs R: add FARBUS_R");
	if ((rights & FARBUS_A) && !(rights & FARBUS_W))
		return error_set(-EINVAL, "right A needs R and W: add FARBUS_R | FARBUS_W");
	return 0;
}

bool rights_subset(uint32_t rights, uint32_t of)
{
	return (rights & ~of) == 0;
}

void rights_text(uint32_t rights, char ret_text[6])
{
	static const char letter[] = "RWAMG";

	for (int i = 0; i < 5; i++)
		ret_text[i] = rights & (1u << i) ? letter[i] : '-';
	ret_text[5] = '\0';
}
