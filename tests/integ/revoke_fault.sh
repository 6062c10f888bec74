#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# revoke_fault.sh -- revoke keeps its word whichever of its allocations fails
#
#   revoke_fault.sh FARBUS_RUN REVOKE_FAULT
set -u
run=$1 program=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

fail()
{
	echo "revoke_fault: $*" >&2
	cat "$dir/out" >&2
	exit 1
}

for mode in run stop; do
	for ((n = 1; n < 200; n++)); do
		rm -f "$dir/stop"
		"$run" --run-dir "$dir" -n 2 "$program" "$mode" "$n" "$dir/stop" >"$dir/out" 2>&1
		code=$?
		[ "$code" -ne 2 ] || break
		[ "$code" -eq 0 ] || fail "$mode, allocation $n: exit code $code"
	done
	if [ "$n" -le 3 ] || [ "$n" -eq 200 ]; then
		fail "$mode: $n allocations?"
	fi
	echo "revoke_fault: $mode: true after each of $((n - 1)) faults"
done
