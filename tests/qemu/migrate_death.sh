#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154 # migrate_lib.sh sets them
# migrate_death.sh -- a move is given up or broken at many moments: at most one guest runs
#
#   migrate_death.sh MIGRATE GUEST_DIR PROGRAM
#
# One guest. Each attempt has a new QEMU as its destination and ends before its time: by a signal to the
# source or to the destination, or by killing a process. Afterwards the guest runs at the source, or it is
# at the destination, or it is paused on both sides; never does it run twice, and exit codes tell. Exit
# 77: no guest can run here.
set -eu

"$(dirname "$0")/nic_kernel" "$3" "$2" || exit $?
. "$(dirname "$0")/migrate_lib.sh"

target=0
# A new destination; both ends are under way, and QEMU is slowed down, so that they stay so.
attempt()
{
	target=$((target + 1))
	to=t$target
	machine "$to" 0 -incoming defer
	to_pid=${to}_pid
	dest "$to"
	rm -f "$work/source.json"
	source_ a --bandwidth 40
	wait_for 60 migrating || fail "the move does not begin: $(cat "$work/source.log")"
}

migrating() { grep -qs '"state":"moving"' "$work/source.json"; }

# nowhere_twice: the guest may not run on both sides.
nowhere_twice()
{
	! { is_status a running && is_status "$to" running; } || fail "$1: it runs on both sides"
}

at_source()
{
	wait_for 30 is_status a running || fail "$1: the source is '$(status a)'"
	nowhere_twice "$1"
	! is_status "$to" running || fail "$1: it runs at the destination"
	kill -9 "${!to_pid}" 2>/dev/null || :
	echo "$1: the guest goes on at the source"
}

machine a 2000
ready a

attempt
kill -INT "$source_pid"
code "$source_pid"
[ "$code" -eq 1 ] || fail "a source that is told to give up ends with $code"
code "$dest_pid"
[ "$code" -eq 1 ] || fail "dest, when source gives up, ends with $code"
at_source "source given up"

attempt
kill -TERM "$dest_pid"
code "$source_pid"
[ "$code" -eq 1 ] || fail "source, when dest gives up, ends with $code"
code "$dest_pid"
[ "$code" -eq 1 ] || fail "a dest that is told to give up ends with $code"
at_source "dest given up"

attempt
kill -9 "$source_pid"
code "$dest_pid"
[ "$code" -eq 1 ] || fail "dest of a killed source ends with $code"
at_source "source killed"

attempt
kill -9 "$dest_pid"
code "$source_pid"
[ "$code" -eq 1 ] || fail "source of a killed dest ends with $code"
at_source "dest killed"

attempt
kill -9 "${!to_pid}"
code "$source_pid"
[ "$code" -eq 1 ] || fail "source, when the destination's QEMU is killed, ends with $code"
at_source "the destination's QEMU killed"

# committing: the source's QEMU has let go; a moment later the destination is told.
committing() { grep -qm1 committing < <(tail -f -n +1 --pid="$source_pid" "$work/source.json"); }

# Whatever moment is hit, nothing runs twice, and one command makes it run once. The guest goes back
# to "a" by running there again: what the destination has is dropped.
for victim in dest source dest source; do
	target=$((target + 1))
	to=t$target
	to_pid=${to}_pid
	machine "$to" 0 -incoming defer
	dest "$to"
	rm -f "$work/source.json"
	: >"$work/source.json"
	source_ a
	pid=$source_pid
	[ "$victim" = source ] || pid=$dest_pid
	committing || fail "the move does not end: $(cat "$work/source.log")"
	kill -9 "$pid" 2>/dev/null || :
	code "$source_pid"
	source_code=$code
	code "$dest_pid"
	nowhere_twice "$victim killed late"
	echo "$victim killed late: source $source_code '$(status a)', dest $code '$(status "$to")'"
	is_status a postmigrate || fail "the source, whose QEMU has let go, is '$(status a)'"
	[[ $(status "$to") = running || $(status "$to") = paused ]] || fail "no destination"
	kill -9 "${!to_pid}"
	"$migrate" resume --here --qmp "$work/a.qmp" || fail "resume"
	is_status a running || fail "it runs nowhere"
done
