#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# api_left.sh -- what a job leaves behind: nothing, whether its ranks end, are killed or abort
#
#   api_left.sh FARBUS_RUN API_CLIENT
set -u
run=$1 client=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/run"

fail()
{
	echo "api_left: $*" >&2
	cat "$dir/err" >&2
	exit 1
}

# job MODE CODE SURVIVORS
job()
{
	local code survivors
	"$run" --run-dir "$dir/run" --keep-going -n 4 "$client" "$1" >"$dir/out" 2>"$dir/err"
	code=$?
	[ "$code" -eq "$2" ] || fail "$1: exit code $code instead of $2"
	survivors=$(grep -c '^survived$' "$dir/out")
	[ "$survivors" -eq "$3" ] || fail "$1: $survivors ranks survived instead of $3"
	[ -z "$(ls -A "$dir/run")" ] || fail "$1: left behind: $(ls -AR "$dir/run")"
	! compgen -G '/dev/shm/*farbus*' >/dev/null || fail "$1: there are files in /dev/shm"
	! pgrep -f "^$client $1" >/dev/null || fail "$1: a process is left"
}

job end 0 0
job kill 137 3
job abort 42 0
echo "api_left: nothing is left behind"
