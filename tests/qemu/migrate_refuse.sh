#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154 # migrate_lib.sh sets them
# migrate_refuse.sh -- what cannot be moved is refused, with its name, and the guest goes on
#
#   migrate_refuse.sh MIGRATE GUEST_DIR PROGRAM
#
# Nothing is waited for but answers: the guest need not come up. Exit 77: no guest can run here.
set -eu

"$(dirname "$0")/nic_kernel" "$3" "$2" || exit $?
. "$(dirname "$0")/migrate_lib.sh"

# refused CODE WORD COMMAND...: it ends with CODE, and says WORD.
refused()
{
	local expected=$1 word=$2 got=0
	shift 2
	timeout 60 "$@" >"$work/out.log" 2>&1 || got=$?
	[ "$got" -eq "$expected" ] || fail "'$*' ends with $got, not $expected"
	grep -q -- "$word" "$work/out.log" || fail "'$*' does not say '$word'"
}

capability()
{
	qmp a migrate-set-capabilities \
		"{\"capabilities\": [{\"capability\": \"$1\", \"state\": $2}]}" >/dev/null
}

at_a=(--qmp "$work/a.qmp" --join 127.0.0.1:1 --wait 1)
refused 2 "give --qmp" "$migrate" source --join 127.0.0.1:1
refused 2 "give --join" "$migrate" dest --qmp "$work/a.qmp"
refused 2 "resume needs --here" "$migrate" resume --qmp "$work/a.qmp"
refused 2 "'away'" "$migrate" away --qmp "$work/a.qmp"
refused 2 "give NAME=FILE" "$migrate" source "${at_a[@]}" --ram ram0
refused 1 "QMP at" "$migrate" source "${at_a[@]}"

machine a 100
for name in multifd xbzrle compress x-ignore-shared; do
	capability "$name" true
	refused 1 "$name is on" "$migrate" source "${at_a[@]}"
	capability "$name" false
done
refused 1 "incoming defer" "$migrate" dest "${at_a[@]}"
refused 1 "has 0 bytes" "$migrate" source "${at_a[@]}" --ram ram0=/dev/null
refused 1 "no such file\|No such file" "$migrate" source "${at_a[@]}" --ram ram0=/no/such
is_status a running || fail "the guest does not run after all that"

# A destination whose RAM nobody else can reach.
qemu-system-x86_64 -accel tcg -nodefaults -no-user-config -display none -m 64 -incoming defer \
	-qmp "unix:$work/private.qmp,server=on,wait=off" >"$work/private.log" 2>&1 &
pids+=($!)
wait_for 20 test -S "$work/private.qmp" || fail "QEMU does not start"
refused 1 "share=on\|memory backend" "$migrate" dest --qmp "$work/private.qmp" --join 127.0.0.1:1 --wait 1

# One file behind both: it would be overwritten while it is read.
ln "$work/a.ram" "$work/b.ram"
machine b 0 -incoming defer
dest b
refused 1 "one file on both sides" "$migrate" source --qmp "$work/a.qmp" --join "127.0.0.1:$port"
code "$dest_pid"
[ "$code" -eq 1 ] || fail "dest, when source refuses, ends with $code"
is_status a running || fail "the guest does not run after all that"

# Another secret.
rm "$work/b.ram"
machine c 0 -incoming defer
dest c --wait 3
refused 1 secret env FARBUS_SECRET=somebody-elses "$migrate" source --qmp "$work/a.qmp" \
	--join "127.0.0.1:$port" --wait 3
code "$dest_pid"
[ "$code" -eq 1 ] || fail "dest, whom a stranger met, ends with $code"
is_status a running || fail "the guest does not run after all that"
echo "all refused; the guest runs"
