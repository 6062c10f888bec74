#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# netns_test.sh -- tests of netns.sh: hosts reach each other, cuts cut, and nothing is left behind
#
#   netns_test.sh bridge|star|killed RELAY
#
# A relay that listens is the server, bash's /dev/tcp the client: neither needs a package.
set -u

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC1091
. "$here/netns.sh"
part=$1
relay=$2
failures=0

bad()
{
	echo "FAILED: $*"
	failures=$((failures + 1))
}

# reaches FROM TO: a connection from one host to the other's port 7000.
# shellcheck disable=SC2317 # netns_wait calls it
reaches()
{
	netns_timeout=2 netns_run "$1" bash -c "exec 3<>/dev/tcp/$(netns_address "$2")/7000" 2>/dev/null
}

# shellcheck disable=SC2317
reaches_not() { ! reaches "$@"; }

servers_start()
{
	local host
	for ((host = 0; host < $1; host++)); do
		netns_start "$host" "$relay" "$(netns_address "$host"):7000" 127.0.0.1:9
	done
}

hosts__up__all_reach_all()
{
	local from to
	for from in 0 1 2; do
		for to in 0 1 2; do
			netns_wait 20 reaches "$from" "$to" || bad "host $from does not reach host $to"
		done
	done
}

link__down_and_up__host_is_cut_off_and_comes_back()
{
	netns_link 1 down || bad "link down"
	netns_wait 20 reaches_not 0 1 || bad "host 0 still reaches host 1"
	reaches 1 2 && bad "host 1 still reaches host 2"
	reaches 0 2 || bad "host 0 does not reach host 2 any more"
	netns_link 1 up || bad "link up"
	netns_wait 30 reaches 0 1 || bad "host 1 does not come back"
	netns_wait 30 reaches 1 2 || bad "host 1 does not reach host 2 again"
}

run__command__its_exit_code_and_a_time_limit()
{
	netns_run 0 bash -c 'exit 7'
	[ $? -eq 7 ] || bad "exit code is lost"
	netns_timeout=1 netns_run 0 sleep 60
	[ $? -eq 124 ] || bad "no time limit"
	[ "$(netns_run 0 bash -c 'readlink /proc/self/ns/net')" != "$(readlink /proc/self/ns/net)" ] ||
		bad "not in a network namespace of its own"
}

# Processes of the test that has this mark in its environment.
marked() { grep -lasF "NETNS_MARK=$1" /proc/[0-9]*/environ 2>/dev/null | wc -l; }

# shellcheck disable=SC2317
marked_none() { [ "$(marked "$1")" -eq 0 ]; }

# What is killed is what a test runner would kill: the process it started, and only that.
killed__in_the_middle__no_process_and_no_namespace_left()
{
	local mark=$$.$RANDOM pid before line
	before=$(ip -o link show | wc -l)
	coproc TEST { NETNS_MARK=$mark exec bash "$here/netns_test.sh" hold "$relay"; }
	pid=$TEST_PID
	read -r -t 30 line <&"${TEST[0]}" || bad "the test did not start"
	[ "$line" = holding ] || { echo "$line"; [[ $line = skipped* ]] && exit 77; bad "not holding"; }
	[ "$(marked "$mark")" -ge 4 ] || bad "not as many processes as there should be: the mark is wrong"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	netns_wait 20 marked_none "$mark" || bad "$(marked "$mark") processes are left"
	[ "$(ip -o link show | wc -l)" -eq "$before" ] || bad "links are left"
	ip -o link show | grep -q 'bridge0\|port0' && bad "links are left"
	[ -e /run/netns/host0 ] && bad "/run/netns/host0 is left"
}

case $part in
bridge | star)
	netns_enter "$@"
	netns_hosts 3 "$part" || netns_skip "no $part can be made here"
	servers_start 3
	hosts__up__all_reach_all
	link__down_and_up__host_is_cut_off_and_comes_back
	run__command__its_exit_code_and_a_time_limit
	;;
hold)
	netns_enter "$@"
	netns_hosts 2 bridge || netns_skip "no bridge can be made here"
	servers_start 2
	echo holding
	sleep 300
	;;
killed)
	command -v ip >/dev/null || netns_skip "no ip(8): install iproute2"
	killed__in_the_middle__no_process_and_no_namespace_left
	;;
*)
	echo "netns_test.sh: unknown part $part" >&2
	exit 2
	;;
esac
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
