/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_common.c -- what the tests of addrmap/ share */
#include "addrmap_common.h"

#include <errno.h>
#include <string.h>

void expect_text(const char *part)
{
	if (!strstr(error_text(), part))
		fail_msg("the error text has no \"%s\": %s", part, error_text());
}

unsigned every_allocation_fails_once(int (*call)(void *arg), void (*check)(void *arg), void *arg)
{
	for (unsigned n = 1; n < 1000; n++) {
		alloc_fault_arm(n);
		int err = call(arg);
		bool fired = alloc_fault_fired();

		alloc_fault_arm(0);
		if (check)
			check(arg);
		if (!fired) {
			assert_int_equal(err, 0);
			return n - 1;
		}
		assert_int_equal(err, -ENOMEM);
		expect_text("no memory");
	}
	fail_msg("a call that makes 1000 allocations");
	return 0;
}
