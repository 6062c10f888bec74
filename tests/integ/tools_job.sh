#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# tools_job.sh -- the tools on a real job, and what their pages say, one part per test
#
#   tools_job.sh PART BUILD_DIR SOURCE_DIR
#
# PART: man, live
# shellcheck source=tests/integ/tools_common.sh
. "$(dirname "$0")/tools_common.sh"

# ---- man: pages against programs and headers ----

# The options that stand first in a line, one a line: "-h, --help" are two.
options_of_help() { sed -nE 's/^  (-[^ ,]+(, -[^ ,]+)*)( .*)?$/\1/p' "$work/out" | tr -d ' ' | tr , '\n'; }
options_of_page()
{
	sed -n '/^# OPTIONS/,/^# [^O]/p' "$1" | sed -nE 's/^(\*-[^ ]*\*(, \*-[^ ]*\*)*).*/\1/p' |
		tr -d ' *' | tr , '\n'
}

man__options__as_in_help()
{
	local tool page
	for tool in run info stat perf; do
		page=$source/man/farbus-$tool.1.scd
		call "$build/apps/farbus-$tool/farbus-$tool" --help
		exits 0
		options_of_help | sort >"$work/help"
		options_of_page "$page" | sort >"$work/page"
		[ "$(wc -l <"$work/help")" -ge 4 ] || bad "no options in the help of farbus-$tool"
		diff "$work/help" "$work/page" || bad "farbus-$tool: --help (<) and its page (>) differ"
	done
}

# Which tools there are to have a page: those that are installed.
man__every_tool__has_a_page()
{
	local folder
	for folder in "$source"/apps/farbus-*/; do
		folder=${folder%/}
		grep -q 'install(TARGETS' "$folder/CMakeLists.txt" 2>/dev/null || continue
		[ -f "$source/man/${folder##*/}.1.scd" ] || bad "no page of ${folder##*/}"
	done
}

man__lists__every_setting_counter_and_function()
{
	local name
	call "$info" --json
	for name in $(jq -r '.settings[].name' "$work/out"); do
		grep -qF "*${name//_/\\_}*" "$build/man/farbus.7.scd" || bad "farbus(7) has no $name"
	done
	call "$stat" --json
	for name in $(jq -r '.total | keys[]' "$work/out") event_lost put_ops; do
		grep -qF "*${name//_/\\_}*" "$build/man/farbus-stat.1.scd" ||
			bad "farbus-stat(1) has no $name"
	done
	for name in $(grep -oE 'farbus_[a-z0-9_]+;' "$source/runtime/libfarbus.map" | tr -d ';'); do
		[ "$name" != farbus_guard_slot ] || continue
		grep -qF "*${name//_/\\_}*" "$build/man/farbus.3.scd" || bad "farbus(3) has no $name"
	done
	# And no other.
	for name in $(grep -oE '\*farbus\\_[a-z0-9\_]+\*' "$build/man/farbus.3.scd" | tr -cd 'a-z0-9_\n'); do
		grep -qw "$name" "$source"/include/farbus/*.h || bad "farbus(3) has $name"
	done
	! grep -n '^@.*@$' "$build"/man/*.scd || bad "a table was not filled in"
}

man__pages__no_complaint_of_the_formatter()
{
	local page name
	command -v scdoc >/dev/null || { echo "without scdoc: no pages to look at"; return; }
	for page in "$source"/man/*.scd; do
		name=$(basename "$page" .scd)
		[ -s "$build/man/$name" ] || { bad "no page $name"; continue; }
		command -v groff >/dev/null || continue
		groff -man -Tutf8 -ww -z "$build/man/$name" 2>"$work/err" || bad "groff: $name"
		[ ! -s "$work/err" ] || { bad "groff: $name"; head -3 "$work/err"; }
	done
}

# ---- live: a real job ----

# job N: ranks of tools_ranks under farbus-run --keep; their PIDs and addresses in $pids and $vas.
job()
{
	local word rank pid va
	pids=() vas=()
	rm -f "$work/job.in" "$work/job.out"
	mkfifo "$work/job.in" "$work/job.out"
	"$run" --keep --stdin all --timeout 60 -n "$1" "$ranks" <"$work/job.in" >"$work/job.out" \
		2>"$work/job.err" &
	launcher=$!
	started+=("$launcher")
	exec {input}>"$work/job.in" {output}<"$work/job.out"
	for ((i = 0; i < $1; i++)); do
		read -r -t 40 -u $output word rank pid va || bad "the job did not start"
		[ "$word" = ready ] || { bad "not ready: $word"; cat "$work/job.err"; exit 1; }
		pids[rank]=$pid
		vas[rank]=$va
	done
}

# job_end CODE: the input of all ranks ends; the directory that was kept is in $kept.
job_end()
{
	exec {input}>&- {output}<&-
	code=0
	wait $launcher || code=$?
	called=farbus-run
	exits "$1"
	kept=$(sed -n 's/^farbus-run: kept //p' "$work/job.err")
	[ -d "$kept" ] || { bad "no directory was kept"; cat "$work/job.err"; }
}

# Both grants of the other rank: nothing of them is one-sided, and it is said why.
live__over_networks__paths_and_why()
{
	local network
	call "$info" --json
	for network in $(jq -r '.transports[] | select(.usable and .name != "shm" and .name != "verbs") | .name' \
		"$work/out"); do
		export FARBUS_TRANSPORT=$network FARBUS_ADDRESS=127.0.0.1
		job 2
		call "$info" --json "${pids[1]}"
		exits 0
		json ".instances[0].transports | map(.name) == [\"$network\"]"
		json ".instances[0].imports | length == 2 and all(.path == \"served\" and
			.transport == \"$network\" and .onesided == {put: false, get: false, atomic: false} and
			(.why | contains(\"no one-sided access\")))"
		json '.instances[0].links | any(.rank == 0 and .why == "FARBUS_TRANSPORT")'
		job_end 0
		rm -rf "$kept"
	done
	unset FARBUS_TRANSPORT FARBUS_ADDRESS
}

live__two_ranks__regions_grants_imports_windows_and_paths()
{
	local home
	job 2
	call "$info"
	exits 0
	has "${pids[0]}"
	has "${pids[1]}"
	call "$info" "${pids[1]}"
	exits 0
	silent
	has "rank 1 of 2"
	has "put get atomic"
	call "$info" --json "${pids[1]}"
	exits 0
	json '.instances[0] | .rank == 1 and .size == 2 and (.transports | any(.name == "shm"))'
	json '.instances[0].regions[0] | .len == 65536 and .mappable and
		([.grants[] | .off == 4096 and .len == 8192 and .rights == "RWA--" and
		.state == "live" and .imports == 1] == [true, true]) and
		([.grants[].served] | sort == [false, true])'
	json '.instances[0].imports | length == 2 and all(.home_rank == 0 and .off == 4096) and
		(map(select(.path == "mapped"))[0].onesided == {put: true, get: true, atomic: true}) and
		(map(select(.path == "served"))[0].onesided == {put: false, get: false, atomic: false})'
	json '.instances[0].windows | any(.len == 8192 and .state == "ready" and (.rights | startswith("RW")))'
	json '.instances[0].links | any(.rank == 0)'
	call "$info" --trace "${pids[1]}" "${vas[1]}"
	exits 0
	has "PID ${pids[0]}, address 0x"
	# The home's own address of these bytes leads to the same bus address.
	call "$info" --json --trace "${pids[1]}" "${vas[1]}"
	json ".home.pid == ${pids[0]} and .home.rank == 0 and .bus.off == \"1010\""
	home=$(jq -r .home.va "$work/out")
	cp "$work/out" "$work/first"
	call "$info" --json --trace "${pids[0]}" "$home"
	exits 0
	[ "$(jq -c .bus "$work/out")" = "$(jq -c .bus "$work/first")" ] ||
		bad "the home's address leads elsewhere"
	job_end 0
}

live__stopped_rank__counted_but_silent()
{
	job 2
	kill -STOP "${pids[1]}"
	call "$info" "${pids[1]}"
	exits 1
	says "stopped"
	call "$info" "${pids[0]}"
	exits 0
	# The home of this address does not answer; what is known without it is shown.
	call "$info" --trace "${pids[0]}" "${vas[0]}"
	exits 0
	has "does not answer"
	call "$stat" --json "${pids[1]}"
	exits 0
	json '.processes[0] | .state == "live" and .counters.put_ops == 11 and .instances[0].rank == 1'
	kill -CONT "${pids[1]}"
	job_end 0
}

live__kept_counters__those_of_every_rank_after_the_end()
{
	job 3
	job_end 0
	call "$stat" --json "$kept"
	exits 0
	json '.processes | length == 3 and all(.state == "dead") and
		([.[].instances[0].rank] | sort == [0, 1, 2]) and
		all(.counters | .put_ops == 11 and .put_bytes == 88 and .served_put == 1 and .signal_ops == 1 and
			.wait_ops == 1 and .flush_ops == 1 and
			.import_made == 2 and .grant_made == 2 and
			.map_made == 1 and .barrier == 1 and .region_bytes == 65536)'
	json '.total.put_ops == 33'
	call "$stat" "$kept"
	has "All 3 processes"
	call "$stat" "${pids[0]}"
	exits 0
	has "dead"
	rm -r "$kept"
}

# Everybody waits for input, nothing happens: a service thread that sleeps wakes for a timer at most.
live__idle__service_threads_sleep()
{
	job 2
	call "$stat" --json --interval 0.3 --count 1 "${pids[@]}"
	exits 0
	[ "$(tail -1 "$work/out" | jq .total.service_wake)" -lt 300 ] ||
		bad "idle service threads woke $(tail -1 "$work/out" | jq .total.service_wake) times"
	job_end 0
}

live__killed_rank__its_counters_are_left()
{
	job 2
	kill -KILL "${pids[1]}"
	job_end 137
	call "$stat" --json "$kept/counters.${pids[1]}"
	exits 0
	json '.processes[0] | .state == "dead" and .counters.put_ops == 11 and
		.instances[0].open and .instances[0].rank == 1'
	call "$info" "${pids[1]}"
	exits 1
	rm -r "$kept"
}

case $part in
man)
	man__options__as_in_help
	man__every_tool__has_a_page
	man__lists__every_setting_counter_and_function
	man__pages__no_complaint_of_the_formatter
	;;
live)
	live__two_ranks__regions_grants_imports_windows_and_paths
	live__over_networks__paths_and_why
	live__stopped_rank__counted_but_silent
	live__idle__service_threads_sleep
	live__kept_counters__those_of_every_rank_after_the_end
	live__killed_rank__its_counters_are_left
	;;
*)
	echo "tools_job.sh: unknown part $part" >&2
	exit 2
	;;
esac
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
