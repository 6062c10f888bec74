#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vmm.sh -- the example VMM: its guest moves back and forth, and a page that is lost is noticed
#
#   vmm.sh GUEST FARBUS_RUN VMM
#
# GUEST: kvm (77 where KVM runs no guest), thread
set -u

guest=$1
run=$2
vmm=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

bad()
{
	echo "FAILED: $*"
	failures=$((failures + 1))
}

launch()
{
	code=0
	"$run" -n 2 "$vmm" --guest "$guest" --ram 32 "$@" >"$work/out" 2>&1 </dev/null || code=$?
	cat "$work/out"
	if [ "$code" -eq 77 ] || grep -qE 'needs (userfaultfd|PAGEMAP_SCAN)' "$work/out"; then
		exit 77
	fi
}

has() { grep -qE -e "$1" "$work/out" || bad "not in the output: $1"; }

moves__back_and_forth__no_page_differs()
{
	launch --moves 3
	[ "$code" -eq 0 ] || bad "exit code $code"
	[ "$(grep -c ': 0 of 8192 pages differ' "$work/out")" -eq 3 ] || bad "not three clean moves"
	has 'move 1, from rank 0: [0-9]+ rounds, .*\([1-9][0-9]* zero\)'
	has 'at rank 1: the guest wrote [1-9][0-9]* times, 0 words are wrong'
}

moves__served__no_page_differs()
{
	FARBUS_MAPPABLE=0 launch --moves 1
	[ "$code" -eq 0 ] || bad "exit code $code"
	has 'move 1, at rank 1: 0 of 8192 pages differ'
}

lose__one_page__exactly_that_is_noticed()
{
	launch --moves 1 --lose
	[ "$code" -eq 1 ] || bad "exit code $code instead of 1"
	has 'move 1, at rank 1: 1 of 8192 pages differ'
}

options__bad__exit_2()
{
	"$run" -n 2 "$vmm" --what >/dev/null 2>&1 </dev/null
	[ $? -eq 2 ] || bad "--what was taken"
}

moves__back_and_forth__no_page_differs
moves__served__no_page_differs
lose__one_page__exactly_that_is_noticed
options__bad__exit_2
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
