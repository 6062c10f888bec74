#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nic.sh -- farbus-nic from outside: exit codes, signals, counts, what it leaves behind
#
#   nic.sh FARBUS_NIC FARBUS_STAT
#
# There is no guest: its port is a capture file, which needs no rights.
set -u

nic=$1 stat=$2
work=$(mktemp -d) || exit 1
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
die()
{
	echo "FAIL: $*"
	head -20 "$work"/out "$work"/err 2>/dev/null
	exit 1
}

# ends CODE WORD ARGUMENT...: ends at once, with this code and this word on standard error.
ends()
{
	local code=$1 word=$2 status
	shift 2
	timeout 20 "$nic" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq "$code" ] || die "$*: status $status, not $code"
	[ -z "$word" ] || grep -q -- "$word" "$work/err" || die "$*: '$word' is not what it says"
}

# wait_for COMMAND...: at most 20 s.
wait_for()
{
	local end=$((SECONDS + 20))
	until "$@"; do
		[ $SECONDS -lt $end ] || die "waited for: $*"
		sleep 0.02
	done
}

ends 0 "" --help
grep -q -- --socket "$work/out" || die "--help names no option"
ends 0 "" --version
ends 2 "--socket"
ends 2 "has no --port" --socket "$work/s"
ends 2 nonsense --nonsense
ends 1 "port 'magic:" --socket "$work/s" --port magic:1
ends 1 /nonexistent --socket "$work/s" --port pcap:/nonexistent
FARBUS_LOG=loud ends 1 FARBUS_LOG --socket "$work/s" --port pcap:/nonexistent

# A capture file of one frame of 64 bytes, little-endian.
{
	printf '\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\xff\xff\0\0\1\0\0\0'
	printf '\1\0\0\0\0\0\0\0\100\0\0\0\100\0\0\0'
	head -c 64 /dev/zero
} >"$work/one.pcap"
ends 1 "exists and is no socket" --socket "$work/one.pcap" --port "pcap:$work/one.pcap"
ends 1 "core 60000" --socket "$work/s" --port "pcap:$work/one.pcap" --core 60000
[ ! -e "$work/s" ] || die "a socket is left behind by a start that failed"

"$nic" --socket "$work/s" --port "pcap:$work/one.pcap" --stats 0 --pcap "$work/seen.pcap" \
	>"$work/out" 2>"$work/err" </dev/null &
pid=$!
wait_for test -S "$work/s"
ends 1 "somebody listens" --socket "$work/s" --port "pcap:$work/one.pcap"
: >"$work/out.stat"
"$stat" --all $pid >"$work/out.stat" 2>&1 || die "farbus-stat does not find it"
grep -q nic_dropped "$work/out.stat" || die "farbus-stat has no counter of it"
kill -USR1 $pid
wait_for grep -q '"connections"' "$work/out"
kill -TERM $pid
wait $pid || die "SIGTERM: status $?"
pid=
[ ! -e "$work/s" ] || die "its socket is left behind"
[ "$(wc -l <"$work/out")" -eq 2 ] || die "not one line for SIGUSR1 and one at the end"
jq -e '.devices | length == 1' "$work/out" >/dev/null || die "counts that are no JSON"
[ "$(stat -c %s "$work/seen.pcap")" -eq 24 ] || die "a capture of nothing is more than a header"

# What a killed one left is replaced; and it ends when standard output does.
"$nic" --socket "$work/s" --port "pcap:$work/one.pcap" </dev/null >/dev/null 2>&1 &
pid=$!
wait_for test -S "$work/s"
kill -9 $pid
wait $pid 2>/dev/null
[ -S "$work/s" ] || die "killed, and yet its socket is gone"
"$nic" --socket "$work/s" --port "pcap:$work/one.pcap" --stats 0.05 </dev/null 2>"$work/err" |
	head -2 >"$work/out"
[ "${PIPESTATUS[0]}" -eq 1 ] || die "nobody reads what it prints, and it goes on"
echo "farbus-nic keeps its word"
