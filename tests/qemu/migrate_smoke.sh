#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154 # migrate_lib.sh sets them
# migrate_smoke.sh -- a running guest is moved, and its RAM compared page by page
#
#   migrate_smoke.sh MIGRATE GUEST_DIR PROGRAM
#
# PROGRAM is migrate_guest, which writes pages all the time. The source is stopped when it is done, and
# the destination keeps what it got paused: so all of RAM can be compared. Then a copy with one page
# changed must be told. Exit 77: no guest can run here.
set -eu

"$(dirname "$0")/nic_kernel" "$3" "$2" || exit $?
. "$(dirname "$0")/migrate_lib.sh"

# move FROM TO: and compare. FROM_OPTIONS, for the source.
move()
{
	dest "$2" --paused
	# shellcheck disable=SC2086
	source_ "$1" ${source_options:-}
	code "$source_pid"
	[ "$code" -eq 0 ] || fail "source ends with $code"
	code "$dest_pid"
	[ "$code" -eq 0 ] || fail "dest ends with $code"
	is_status "$1" postmigrate || fail "the source is '$(status "$1")'"
	is_status "$2" paused || fail "the destination is '$(status "$2")'"
	tail -1 "$work/source.json"
	jq -es '.[-1] | .state == "moved" and .pages > 20000 and .stream_bytes < 0.05 * .ram_bytes' \
		"$work/source.json" >/dev/null || fail "the RAM did not leave the stream"
	result=$(pages_differ "$1" "$2")
	echo "pages that differ, of all: $result"
	[ "$result" = "0 $((ram_kib / 4))" ] || fail "$result"
}

machine a 4000
ready a
machine b 0 -incoming defer
move a b
printf x | dd of="$work/a.ram" bs=1 seek=$((4096 * 1000 + 17)) conv=notrunc status=none
[ "$(pages_differ a b)" = "1 $((ram_kib / 4))" ] || fail "the comparison overlooks a page"
"$migrate" resume --here --qmp "$work/b.qmp" || fail "resume"
before=$(tick a)
wait_for 20 grep -qs "TICK [1-9]" "$work/b.console.log" || fail "the guest is silent at the destination"
[ "$(tick b)" -ge "$before" ] || fail "the guest went back in time: $before, then $(tick b)"

# On, into a QEMU whose RAM file is full of something else; with the pages from the stream.
qmp a quit >/dev/null
tr '\0' '\245' </dev/zero | head -c $((ram_kib * 1024)) >"$work/c.ram"
machine c 0 -incoming defer
source_options=--placed
move b c
"$migrate" resume --here --qmp "$work/c.qmp" || fail "resume"
is_status c running || fail "the guest does not run in the end"
