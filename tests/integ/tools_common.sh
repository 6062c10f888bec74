#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# tools_common.sh -- what tools.sh and tools_job.sh share; they source it with their arguments
# shellcheck disable=SC2034 # they use what is set here
set -u

part=$1
build=$2
source=$3
info=$build/apps/farbus-info/farbus-info
stat=$build/apps/farbus-stat/farbus-stat
run=$build/apps/farbus-run/farbus-run
client=$build/tests/integ/tools_client
ranks=$build/tests/integ/tools_ranks
work=$(mktemp -d)
# The tools look for run directories here, and so find nothing of anybody else.
export XDG_RUNTIME_DIR=$work/run TMPDIR=$work/tmp
mkdir -m 700 "$work/run" "$work/tmp"
started=()
failures=0

cleanup()
{
	local pid
	for pid in "${started[@]}"; do
		kill -KILL "$pid" 2>/dev/null
	done
	wait 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT

bad()
{
	echo "FAILED: $*"
	failures=$((failures + 1))
}

# call COMMAND ...: output in $work/out and $work/err, the exit code in $code.
call()
{
	called="${1##*/} ${*:2}"
	code=0
	timeout 20 "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
}

exits() { [ "$code" -eq "$1" ] || { bad "$called: exit code $code instead of $1"; cat "$work/err"; }; }
has() { grep -qF -e "$1" "$work/out" || { bad "$called: not in the output: $1"; cat "$work/out"; }; }
has_not() { ! grep -qF -e "$1" "$work/out" || bad "$called: in the output: $1"; }
# says TEXT: one line on stderr, with the tool's name and TEXT.
says()
{
	if [ "$(wc -l <"$work/err")" -ne 1 ] || ! grep -qF -e "$1" "$work/err" ||
		! grep -q '^farbus-' "$work/err"; then
		bad "$called: not one line with: $1"
		cat "$work/err"
	fi
}
silent() { [ ! -s "$work/err" ] || { bad "$called: complained"; cat "$work/err"; }; }
# json FILTER: the output is one JSON document for which this is true.
json()
{
	jq -es "length == 1 and (.[0] | $1)" "$work/out" >/dev/null ||
		{ bad "$called: not JSON with $1"; cat "$work/out"; }
}

# start COMMAND ...: in the background, with its input held open by $input until stop(); waits for
# its line "ready PID", with the PID in $pid.
start()
{
	local pipe=$work/pipe.${#started[@]} word
	mkfifo "$pipe.in" "$pipe.out"
	"$@" <"$pipe.in" >"$pipe.out" &
	started+=($!)
	exec {input}>"$pipe.in" {output}<"$pipe.out"
	read -r -t 20 -u $output word pid || bad "$* did not start"
	[ "$word" = ready ] || bad "$*: not ready"
}

# stop: the program that was started last ends by itself.
stop()
{
	exec {input}>&- {output}<&-
	wait "${started[-1]}" || bad "the client ended with $?"
}

# A PID that no process has.
pid_free()
{
	local n
	n=$(cat /proc/sys/kernel/pid_max)
	echo $((n - 1))
}
