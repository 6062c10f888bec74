#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154 # migrate_lib.sh sets them
# migrate_compare.sh -- one guest, moved by farbus-migrate and by QEMU itself; figures as JSON
#
#   migrate_compare.sh MIGRATE GUEST_DIR PROGRAM
#
# Moved three times: by farbus-migrate, by QEMU (migrate unix:), and by farbus-migrate into a QEMU that
# keeps it paused, whose RAM is compared page by page with that of the source. QEMU's figures are its
# own; farbus-migrate's stop is from QEMU's STOP to the word that it runs at the destination.
set -eu

"$(dirname "$0")/nic_kernel" "$3" "$2" >&2 || exit $?
. "$(dirname "$0")/migrate_lib.sh"
rate=4000

# by_farbus FROM TO OPTION...: the result is in source.json.
by_farbus()
{
	local from=$1 to=$2
	shift 2
	machine "$to" 0 -incoming defer
	dest "$to" "$@"
	source_ "$from"
	code "$source_pid"
	[ "$code" -eq 0 ] || fail "source ends with $code"
	code "$dest_pid"
	[ "$code" -eq 0 ] || fail "dest ends with $code"
}

ended()
{
	qmp "$1" query-migrate >"$work/qemu.json"
	jq -e '.status == "completed"' "$work/qemu.json" >/dev/null
}

by_qemu()
{
	local socket=$work/own.sock
	machine "$2" 0 -incoming defer
	for name in "$1" "$2"; do
		qmp "$name" migrate-set-capabilities \
			'{"capabilities": [{"capability": "return-path", "state": true}]}' >/dev/null
	done
	qmp "$1" migrate-set-parameters '{"max-bandwidth": 0, "downtime-limit": 100}' >/dev/null
	qmp "$2" migrate-incoming "{\"uri\": \"unix:$socket\"}" >/dev/null
	qmp "$1" migrate "{\"uri\": \"unix:$socket\"}" >/dev/null
	wait_for 60 ended "$1" || fail "QEMU's own migration: $(cat "$work/qemu.json")"
	wait_for 20 is_status "$2" running || fail "QEMU's own migration leaves nothing that runs"
}

machine a $rate
ready a
by_farbus a b
tail -1 "$work/source.json" >"$work/farbus.json"
qmp a quit >/dev/null
wait_for 20 is_status b running || fail "it does not run at the destination"
by_qemu b c
qmp b quit >/dev/null
by_farbus c d --paused
read -r differ pages < <(pages_differ c d)
jq -cn --argjson differ "$differ" --argjson pages "$pages" --argjson rate $rate \
	--slurpfile farbus "$work/farbus.json" --slurpfile qemu "$work/qemu.json" '
	$farbus[0] as $farbus | $qemu[0] as $qemu |
	{ pages: $pages, pages_differ: $differ, pages_dirtied_per_s: $rate,
	  ram_bytes: $farbus.ram_bytes, written_bytes: $farbus.written_bytes,
	  stream_bytes: $farbus.stream_bytes, total_ms: ($farbus.total_ms | round),
	  stop_ms: ($farbus.stop_ms * 10 | round / 10), rounds: $farbus.rounds,
	  qemu_total_ms: $qemu["total-time"], qemu_stop_ms: $qemu.downtime,
	  qemu_stream_bytes: $qemu.ram.transferred, qemu_rounds: $qemu.ram["dirty-sync-count"] }'
[ "$differ" -eq 0 ] || fail "$differ of $pages pages differ"
