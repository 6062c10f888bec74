#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# guest.sh -- script/verbs-guest: statuses, output, arguments, what is shared and what is not
set -u

guest=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
die() { echo "FAIL: $*"; cat "$work/out" "$work/err" 2>/dev/null; exit 1; }

"$guest" --prepare >"$work/out" 2>"$work/err"
case $? in
0) ;;
77) cat "$work/err"; exit 77 ;;
*) die "--prepare" ;;
esac
"$guest" --nonsense -- true >"$work/out" 2>"$work/err"
[ $? -eq 2 ] || die "an unknown option"
"$guest" >"$work/out" 2>"$work/err"
[ $? -eq 2 ] || die "no command"

# shellcheck disable=SC2016
"$guest" --limit 100 --share "$work" --env 'WORDS=a  b"c' -- sh -c '
	echo "out $WORDS $1"; echo err >&2; echo kept >"$2/kept"; echo lost >/usr/local/lost
	ls /sys/class/infiniband; exit 3' sh 'd  $e' "$work" >"$work/out" 2>"$work/err"
status=$?
[ $status -eq 3 ] || die "status $status, not 3"
[ "$(cat "$work/out")" = "out a  b\"c d  \$e
rxe0
rxe1" ] || die "the output"
[ "$(cat "$work/err")" = err ] || die "the error output"
[ "$(cat "$work/kept")" = kept ] || die "what is shared is not kept"
[ ! -e /usr/local/lost ] || die "what is not shared is kept"

"$guest" --limit 15 --devices none -- sleep 1000 >"$work/out" 2>"$work/err"
[ $? -eq 124 ] || die "the limit"
"$guest" --limit 100 --devices none -- sh -c 'echo c >/proc/sysrq-trigger' >"$work/out" 2>"$work/err"
[ $? -eq 125 ] || die "a guest that crashes"
# Its end is shown; which lines of the kernel's last words those are differs.
grep -qE 'panic|Call Trace|RIP:' "$work/err" || die "the console is not shown"
echo "script/verbs-guest keeps its word"
