#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# perf.sh -- farbus-perf: every figure once, valid JSON, sane numbers, clear refusals
#
#   perf.sh figures|launched|served|options FARBUS_PERF FARBUS_RUN BUILD_TYPE
set -eu

part=$1 perf=$2 run=$3 build=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Small: what is checked is that they are there, not how fast they are.
small="--time 0.2 --size 4k,64k --stream 4m"

die()
{
	echo "perf.sh: $*" >&2
	exit 1
}

# exits CODE TEXT COMMAND ...: ends with this code and says this on stderr, in one line of its own.
exits()
{
	local want=$1 text=$2 code=0
	shift 2
	"$@" >"${out:-$work/out}" 2>"$work/err" </dev/null || code=$?
	[ $code -eq "$want" ] || die "$*: exit code $code, not $want: $(cat "$work/err")"
	grep -qF -e "$text" "$work/err" || die "$*: does not say '$text': $(cat "$work/err")"
	[ "$(grep '^farbus-perf: ' "$work/err" | grep -cv 'the figures mean nothing$')" -eq 1 ] ||
		die "$*: more than one line: $(cat "$work/err")"
}

debug_refuses()
{
	exits 3 "Debug build" "$perf" get8
	[ ! -s "$work/out" ] || die "a refusal prints no figure"
	"$perf" --list | grep -q '^get8 ' || die "--list works in a Debug build, too"
	echo "this is a Debug build, and it refuses"
}

names_check()
{
	"$perf" --list --size 4k,64k | sed 1d | cut -d' ' -f1 | sort >"$work/expected"
	jq -r .name "$work/json" | sort >"$work/names"
	diff "$work/expected" "$work/names" || die "not every figure once"
	[ "$(wc -l <"$work/names")" -ge 15 ] || die "figures are missing"
}

# Only the ring may have no floor; translate has no target; ratio and floor belong together.
numbers_check()
{
	jq -e '(.unit == "ns") and (.min > 0) and (.median >= .min) and
		((.floor == null and .group == "ring" and .ratio == null) or
			(.floor > 0 and .ratio > 0)) and
		(.path | length > 0) and
		(if .group == "translate" or .group == "ring" then .onesided == null
		 else (.onesided | type) == "boolean" end) and
		(.build | length > 0) and (.commit | length > 0)' "$work/json" >"$work/verdict" ||
		die "wrong: $(paste -d' ' "$work/verdict" "$work/json" | grep -v '^true')"
	! grep -qv '^true$' "$work/verdict" || die "wrong: $(cat "$work/json")"
}

figures()
{
	# shellcheck disable=SC2086
	"$perf" --json $small >"$work/json" 2>"$work/err" || die "failed: $(cat "$work/err")"
	names_check
	numbers_check
	jq -se 'map(select(.onesided != null)) | length > 0 and all(.path == "mapped" and .onesided)' \
		"$work/json" >/dev/null || die "mapped memory is one-sided: $(cat "$work/json")"
	# shellcheck disable=SC2086
	"$perf" $small latency >"$work/table" 2>"$work/err" || die "failed: $(cat "$work/err")"
	grep -q '^put8_flush ' "$work/table" || die "no table: $(cat "$work/table")"
}

launched()
{
	# shellcheck disable=SC2086
	"$run" -n 2 "$perf" --json $small >"$work/json" 2>"$work/err" || die "failed: $(cat "$work/err")"
	names_check
	numbers_check
	exits 1 "farbus-run -n 2" "$run" -n 1 "$perf" get8
}

# The home carries the accesses out: no window, no one-sidedness, and it says so.
served()
{
	FARBUS_MAPPABLE=0 "$perf" --json --time 0.1 --size 4k --stream 64k latency atomics put_4k \
		>"$work/json" 2>"$work/err" || die "failed: $(cat "$work/err")"
	numbers_check
	jq -se 'length == 4 and all(.path == "served" and .onesided == false)' "$work/json" \
		>/dev/null || die "not served: $(cat "$work/json")"
}

options()
{
	exits 2 "--no-such" "$perf" --no-such
	exits 2 "no_such_figure" "$perf" no_such_figure
	exits 2 "--size 0" "$perf" --size 0
	exits 1 "--target is for farbus-perf itself" "$perf" --target get8
	"$perf" --help | grep -q '^Usage: farbus-perf' || die "no help"
	"$perf" --version | grep -q '^farbus-perf ' || die "no version"
	out=/dev/full exits 1 "cannot write" "$perf" --time 0.01 --json translate_16
}

case $part in
figures | launched | served) [ "$build" != Debug ] || { debug_refuses; exit 0; } ;;
options) [ "$build" != Debug ] || { debug_refuses; exit 0; } ;;
*) die "unknown part $part" ;;
esac
$part
