#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# tools.sh -- farbus-info and farbus-stat as users and programs call them, one part per test
#
#   tools.sh PART BUILD_DIR SOURCE_DIR
#
# PART: command, stat, info
# shellcheck source=tests/integ/tools_common.sh
. "$(dirname "$0")/tools_common.sh"

# ---- command: what both do with any command line and any standard output ----

wrong_option__both__exit_2_and_one_line()
{
	local tool
	for tool in "$info" "$stat"; do
		call "$tool" --nothing
		exits 2
		says "--nothing"
		call "$tool" -q
		exits 2
		says "-q"
		call "$tool" --json=1
		exits 2
		says "--json=1"
	done
	call "$stat" --interval
	exits 2
	says "needs a value"
	call "$stat" --interval 0
	exits 2
	says "seconds from"
	call "$stat" --count 3
	exits 2
	says "--interval"
	call "$info" 1 2
	exits 2
	says "one PID"
	call "$info" x
	exits 2
	says "PID.INSTANCE"
	call "$info" 1.0
	exits 2
	call "$info" -- -1
	exits 2
	call "$info" --trace 1
	exits 2
	says "ADDRESS"
	call "$info" --trace 1 800000000000
	exits 2
	says "2^47"
}

help_and_version__both__exit_0()
{
	local tool
	for tool in "$info" "$stat"; do
		call "$tool" --help
		exits 0
		has "Exit code"
		silent
		call "$tool" -h
		exits 0
		call "$tool" --version
		exits 0
		has "${tool##*/} "
		[ "$(wc -l <"$work/out")" -eq 1 ] || bad "$called: not one line"
	done
}

output__full_disk__exit_1_and_one_line()
{
	local arg
	for arg in --help --version "" --json; do
		called="farbus-info $arg >/dev/full"
		code=0
		# shellcheck disable=SC2086
		"$info" $arg >/dev/full 2>"$work/err" || code=$?
		exits 1
		says "output"
	done
	for arg in --help --version "" --json; do
		called="farbus-stat $arg >/dev/full"
		code=0
		# shellcheck disable=SC2086
		"$stat" $arg >/dev/full 2>"$work/err" || code=$?
		exits 1
		says "output"
	done
}

# The reader is gone before anything is written, with SIGPIPE as usual and ignored.
output__no_reader__not_noisy()
{
	local tool trap sync
	mkfifo "$work/gone"
	exec {sync}<>"$work/gone"
	for tool in "$info" "$stat" "$info --json" "$stat --json" "$info --help"; do
		for trap in "trap - PIPE" "trap '' PIPE"; do
			called="$tool | nobody, $trap"
			bash -c "$trap; read -r -t 20 -u $sync || exit 99; exec $tool" 2>"$work/err" |
				{ exec 0<&-; echo gone >&"$sync"; }
			code=${PIPESTATUS[0]}
			[ "$code" -eq 141 ] || [ "$code" -eq 1 ] || bad "$called: exit code $code"
			silent
		done
	done
	exec {sync}>&-
}

# ---- stat ----

# Without a target, others of this user may be shown too: other tests run at the same time.
stat__no_target__no_failure()
{
	call "$stat"
	exits 0
	call "$stat" --json
	exits 0
	json '.processes | type == "array"'
	json '.total | type == "object"'
}

stat__not_a_counter_file__exit_1_and_what_to_do()
{
	local n
	n=$(pid_free)
	call "$stat" "$n"
	exits 1
	says "no process $n"
	call "$stat" $$
	exits 1
	says "has no farbus open"
	call "$stat" "$work/none"
	exits 1
	says "No such file"
	call "$stat" "$work"
	exits 1
	says "no counters.PID in it"
	echo "some text" >"$work/text"
	call "$stat" "$work/text"
	exits 1
	says "not a counter file"
	: >"$work/empty"
	call "$stat" "$work/empty"
	exits 1
	says "nothing in it yet"
	# In a directory such a file belongs to a process that has just begun.
	mkdir -m 700 "$work/run/farbus-begun"
	: >"$work/run/farbus-begun/counters.5"
	call "$stat"
	exits 0
	silent
	rm -r "$work/run/farbus-begun"
	mkfifo "$work/fifo"
	call "$stat" "$work/fifo"
	exits 1
	says "not a file"
	call "$stat" /dev/zero
	exits 1
	says "not a file"
}

stat__live_then_dead__same_counts_and_state()
{
	local dir=$work/run/farbus-abcdef file
	mkdir -m 700 "$dir"
	start "$client" counters "$dir"
	file=$dir/counters.$pid
	for target in "$pid" "$dir" "$file" ""; do
		# shellcheck disable=SC2086
		call "$stat" $target
		exits 0
		silent
		has "PID $pid: live"
		has "rank 7 of job 0000000000abcdef, instance 70007"
		has "rank 8 of job 0000000000abcdef, closed"
		[[ $(<"$work/out") =~ put_ops\ +1234\  ]] || bad "$called: put_ops"
		[[ $(<"$work/out") =~ grant_made\ +11\  ]] || bad "$called: grant_made"
		[ -z "$target" ] || has_not "get_ops"
		[ -z "$target" ] || has_not "All "
	done
	call "$stat" --all "$pid"
	has "get_ops"
	has "event_lost"
	call "$stat" "$pid" "$file" "$dir"
	has_not "All "
	kill -STOP "$pid"
	call "$stat" --json "$pid"
	exits 0
	json ".processes[0] | .state == \"live\" and .pid == $pid and .counters.put_ops == 1234"
	kill -CONT "$pid"
	stop
	call "$stat" --json "$dir"
	exits 0
	json '.processes[0] | .state == "dead" and .counters.grant_made == 11 and .file == "'"$file"'"'
	json '.total.grant_made == 11 and (.total | length) >= 33'
	call "$stat" --json
	json "[.processes[].file] | index(\"$file\") != null"
	call "$stat" "$pid"
	has "PID $pid: dead"
	# Another process has that number now: the file is not its.
	cp "$file" "$work/copy"
	printf '%b' "$(printf '\\x%02x' $(($$ & 255)) $(($$ >> 8 & 255)) $(($$ >> 16 & 255)) 0)" |
		dd of="$work/copy" bs=1 seek=12 conv=notrunc status=none
	call "$stat" "$work/copy"
	has "PID $$: dead"
}

stat__damaged__each_is_named_and_the_rest_is_shown()
{
	local dir=$work/run/farbus-damage good
	mkdir -m 700 "$dir"
	start "$client" counters "$dir"
	stop
	good=$dir/counters.$pid
	head -c 8191 "$good" >"$work/cut"
	call "$stat" "$work/cut"
	exits 1
	says "cut off"
	head -c 20000 "$good" >"$work/cut"
	call "$stat" "$work/cut" "$good"
	exits 1
	says "$work/cut: cut off"
	has "PID $pid: dead"
	cp "$good" "$work/wrong"
	printf '\377\377\377\377' | dd of="$work/wrong" bs=1 seek=28 conv=notrunc status=none
	call "$stat" "$work/wrong"
	exits 1
	says "number of counters"
	printf '\2' | dd of="$work/wrong" bs=1 seek=8 conv=notrunc status=none
	call "$stat" "$work/wrong"
	exits 1
	says "layout version 2"
	cp "$work/wrong" "$dir/counters.1"
	call "$stat" --json
	exits 1
	grep -qF "$dir/counters.1: layout version 2" "$work/err" || bad "$called: no complaint"
	json "[.processes[].pid] | index($pid) != null"
	# A link in the directory is not followed: it may lead to anything.
	ln -s "$good" "$dir/counters.2"
	rm "$dir/counters.1"
	call "$stat" "$dir"
	exits 1
	says "counters.2"
	if [ "$(id -u)" -ne 0 ]; then
		chmod 0 "$good"
		call "$stat" "$good"
		exits 1
		says "only its owner"
	fi
	rm -r "$dir"
}

stat__memory_of_a_live_process__found_by_pid()
{
	start "$client" counters
	call "$stat" "$pid"
	exits 0
	has "PID $pid: live"
	has "memory of $pid"
	stop
	call "$stat" "$pid"
	exits 1
	says "no process $pid"
}

stat__interval__differences_until_the_end()
{
	local line
	mkdir -m 700 "$work/between"
	start "$client" counters "$work/between"
	mkfifo "$work/lines"
	# Without our end of the client's input, which else would never be closed.
	"$stat" --json --interval 0.02 "$pid" >"$work/lines" {input}>&- {output}<&- &
	started+=($!)
	exec {lines}<"$work/lines"
	read -r -t 20 -u $lines line
	jq -e '.processes[0].counters.grant_made == 11 and .seconds == null' <<<"$line" >/dev/null ||
		bad "not the totals first: $line"
	printf xxxxx >&$input
	sum=0
	while [ $sum -lt 5 ] && read -r -t 20 -u $lines line; do
		jq -e '.seconds > 0 and .processes[0].counters.put_ops == 0' <<<"$line" >/dev/null ||
			bad "not a difference: $line"
		sum=$((sum + $(jq '.processes[0].counters.grant_made' <<<"$line")))
	done
	[ $sum -eq 5 ] || bad "differences of $sum instead of 5"
	rm -r "$work/between" # the counts stay readable
	exec {input}>&- {output}<&-
	while read -r -t 20 -u $lines line; do :; done
	jq -e '.processes[0].state == "dead"' <<<"$line" >/dev/null || bad "last line: $line"
	wait "${started[-1]}" || bad "farbus-stat --interval: exit code $?"
	exec {lines}<&-
}

stat__interval_count__that_many_and_nothing_when_all_are_dead()
{
	mkdir -m 700 "$work/count"
	start "$client" counters "$work/count"
	call "$stat" --json --interval 0.001 --count 3 "$pid"
	exits 0
	[ "$(wc -l <"$work/out")" -eq 4 ] || bad "$called: not 4 lines"
	call "$stat" --interval 0.001 --count 2 "$pid"
	[ "$(grep -c '^== ' "$work/out")" -eq 2 ] || bad "$called: not 2 differences"
	stop
	call "$stat" --json --interval 3600 "$work/count"
	exits 0
	[ "$(wc -l <"$work/out")" -eq 1 ] || bad "$called: not 1 line"
}

# ---- info ----

info__alone__build_settings_transports_limits()
{
	call "$info"
	exits 0
	silent
	has "farbus "
	has "FARBUS_TIMEOUT"
	has "membarrier"
	has "nofile"
	has "shm"
	call "$info" --json
	exits 0
	json '.farbus | has("version") and has("commit") and has("build_type") and has("compiler")'
	json '[.limits[].name] | contains(["membarrier", "memlock", "nofile", "huge pages"])'
	json '.transports[] | select(.name == "shm") | has("usable") and has("reason")'
	json ".settings | length == $(grep -c '^CONFIG(' "$source/base/config.def")"
	json '.settings[] | select(.name == "FARBUS_TIMEOUT") | .value == "30000" and .default == "30000"'
}

info__settings_of_the_environment__in_force_or_refused()
{
	FARBUS_TIMEOUT=77 FARBUS_NODE=$'a\nb\xff' call "$info" --json
	exits 0
	json '.settings[] | select(.name == "FARBUS_TIMEOUT") | .value == "77"'
	FARBUS_TIMEOUT=7x call "$info" --json
	exits 1
	says "FARBUS_TIMEOUT=7x"
	json '[.settings[].value] | unique == [null]'
	FARBUS_TIMEOU=7 call "$info"
	exits 0
	grep -q 'FARBUS_TIMEOU is no setting.*FARBUS_TIMEOUT' "$work/err" || bad "no warning"
	FARBUS_NODE=$'\e[2Jx' call "$info"
	has_not $'\e'
}

info__nobody__exit_1()
{
	local n
	n=$(pid_free)
	for name in "$n" "$n.5" $$; do
		call "$info" "$name"
		exits 1
		says "no live instance $name"
		call "$info" --json "$name"
		exits 1
		json '.instances == []'
		call "$info" --trace "$name" 0x1000
		exits 1
		says "no live instance $name"
	done
}

# An instance as runtime/info.c describes one.
document_write()
{
	jq -n --argjson pid "$1" --argjson instance "$2" '{pid: $pid, rank: 0, size: 1,
		instance: $instance, incarnation: 1, job: "00ab", version: "0",
		transports: [{name: "shm", locator: "here"}],
		regions: [{id: "500000001", import: 1, len: 4096, page_size: 4096, generation: 0,
			va: "0x7f0000000000", mappable: true, grants: []}],
		imports: [{import: 2, region: "500000001", off: 64, len: 64, rights: "R----",
			home_rank: 0, home_instance: $instance, path: "served", why: "because",
			onesided: {put: false, get: false, atomic: false}, transport: "shm",
			status: "success"}],
		windows: [{va: "7f0000000000", len: 4096, off: 0, import: 1, rights: "RW---",
			state: "ready"}, {va: "7f0000002000", len: 4096, off: 0, import: 2,
			rights: "R----", state: "ready"}], links: []}'
}

info__an_instance_that_answers__shown_and_traced()
{
	start "$client" answer 0 500 "$work/answer"
	document_write "$pid" 500 >"$work/answer"
	call "$info" "$pid.500"
	exits 0
	silent
	has "PID $pid, instance 500: rank 0 of 1"
	has "because"
	call "$info" --json "$pid"
	exits 0
	json ".instances | length == 1 and .[0].pid == $pid"
	call "$info"
	exits 0
	has "$pid"
	call "$info" --json
	json "[.instances[].pid] | index($pid) != null"
	call "$info" --trace "$pid" 0x7f0000002008
	exits 0
	has "500000001:48"
	has "address 0x7f0000000048"
	call "$info" --json --trace "$pid" 7f0000000009
	exits 0
	json '.bus.off == "9" and .home.va == "7f0000000009"'
	call "$info" --trace "$pid" 0x7f0000001000
	exits 1
	says "in no window"
	stop
	call "$info" "$pid"
	exits 1
	says "no live instance"
}

info__stopped__says_so_within_two_seconds()
{
	local begin
	start "$client" answer 0 501 "$work/answer"
	document_write "$pid" 501 >"$work/answer"
	kill -STOP "$pid"
	begin=$(date +%s%N)
	call "$info" "$pid"
	echo "a stopped instance took $((($(date +%s%N) - begin) / 1000000)) ms"
	exits 1
	says "stopped"
	call "$info" --json "$pid"
	exits 1
	json '.instances[0].error | contains("stopped")'
	# Its backlog is full by now: that is no other case.
	for _ in 1 2 3 4 5; do
		call "$info" "$pid"
		exits 1
		says "stopped"
	done
	call "$info"
	exits 0
	has "stopped"
	kill -CONT "$pid"
	call "$info" "$pid"
	exits 0
	stop
}

info__bad_answers__exit_1_and_why()
{
	start "$client" answer 0 502 "$work/answer"
	: >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "without an answer"
	echo "no json" >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "no JSON"
	document_write "$pid" 502 | head -c 300 >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "no JSON"
	document_write "$pid" 502 | jq 'del(.links)' >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "links"
	document_write "$pid" 502 | jq '.imports[0].len = "64"' >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "len"
	document_write "$pid" 502 | jq '.version = "\u001b[2J"' >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "printed"
	document_write "$pid" 503 >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "another instance"
	head -c 70000000 /dev/zero | tr '\0' ' ' >"$work/answer"
	call "$info" "$pid"
	exits 1
	says "too long"
	call "$info"
	exits 0
	has "too long"
	stop
}

# A socket with the name of another process is not believed, and not shown.
info__a_false_name__refused()
{
	start "$client" answer 1 504 "$work/answer"
	document_write 1 504 >"$work/answer"
	call "$info" 1.504
	exits 1
	says "another process"
	call "$info" --json
	exits 0
	json '[.instances[].instance] | index(504) == null'
	stop
}

case $part in
command)
	wrong_option__both__exit_2_and_one_line
	help_and_version__both__exit_0
	output__full_disk__exit_1_and_one_line
	output__no_reader__not_noisy
	;;
stat)
	stat__no_target__no_failure
	stat__not_a_counter_file__exit_1_and_what_to_do
	stat__live_then_dead__same_counts_and_state
	stat__damaged__each_is_named_and_the_rest_is_shown
	stat__memory_of_a_live_process__found_by_pid
	stat__interval__differences_until_the_end
	stat__interval_count__that_many_and_nothing_when_all_are_dead
	;;
info)
	info__alone__build_settings_transports_limits
	info__settings_of_the_environment__in_force_or_refused
	info__nobody__exit_1
	info__an_instance_that_answers__shown_and_traced
	info__stopped__says_so_within_two_seconds
	info__bad_answers__exit_1_and_why
	info__a_false_name__refused
	;;
*)
	echo "tools.sh: unknown part $part" >&2
	exit 2
	;;
esac
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
