#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# absent.sh -- the library of a network transport is not installed where a job is run
#
#   absent.sh PART NETWORK LIBRARY PACKAGE AUDIT BUILD_DIR
#
# AUDIT is absent_audit.so. Ranks are told to be on different nodes, so that they need a network.
set -u

part=$1 network=$2 library=$3 package=$4 audit=$5 build=$6
run=$build/apps/farbus-run/farbus-run
info=$build/apps/farbus-info/farbus-info
hello=$build/apps/examples/01-hello/hello
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -m 700 "$work/run"
export FARBUS_ADDRESS=127.0.0.1 XDG_RUNTIME_DIR=$work/run
unset FARBUS_TRANSPORT

die()
{
	echo "absent.sh: $*" >&2
	cat "$work/out" "$work/err" >&2
	exit 1
}

# call COMMAND ...: its exit code in $code. One that hangs is what this is about.
call()
{
	code=0
	timeout -k 5 50 "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
	[ $code -ne 124 ] || die "$* hangs"
}

# without LIBRARIES COMMAND ...
without()
{
	local names=$1
	shift
	call env LD_AUDIT="$audit" ABSENT="$names" "$@"
}

# What each rank of a job is started by: its own node; in the one that has to do without, ABSENT.
# shellcheck disable=SC2016
ranks='export FARBUS_NODE=node$PMI_RANK
[ "$PMI_RANK" != "$LACKS" ] || { export LD_AUDIT ABSENT FARBUS_TRANSPORT=$THERE; }
[ "$PMI_RANK" = "$LACKS" ] || unset LD_AUDIT
exec "$0"'

# job LACKS THERE ELSEWHERE: FARBUS_TRANSPORT is THERE in rank LACKS, and ELSEWHERE in the other.
job()
{
	call "$run" -n 2 -x FARBUS_TRANSPORT="$3" -x LACKS="$1" -x THERE="$2" -x ABSENT="$library" \
		-x AUDIT="$audit" sh -c "LD_AUDIT=\$AUDIT; $ranks" "$hello"
}

explains()
{
	cat "$work/out" "$work/err" |
		grep -qF -e "transport $network needs $library: install the package $package" ||
		die "the error does not name $library and $package"
}

told() { grep -qF "rank 1 was told: hello from rank 0 of 2" "$work/out" || die "the job did not run"; }

# Otherwise nothing below could fail.
present()
{
	call "$info" --json
	jq -e ".transports[] | select(.name == \"$network\") | .usable" "$work/out" >"$work/err" ||
		{ echo "absent.sh: skipped: no $network here"; exit 77; }
	without none true
	[ $code -eq 0 ] || { echo "absent.sh: skipped: no LD_AUDIT in this build"; exit 77; }
	without none "$info"
	[ $code -eq 0 ] || { echo "absent.sh: skipped: no LD_AUDIT in this build"; exit 77; }
}

info__library_absent__says_which_and_the_package()
{
	without "$library" "$info" --json
	[ $code -eq 0 ] || die "farbus-info: exit code $code"
	jq -e ".transports[] | select(.name == \"$network\") | .usable == false and
		(.reason | contains(\"$library: install the package $package\"))" "$work/out" \
		>/dev/null || die "farbus-info does not say why"
}

open__asked_for_and_absent__every_rank_says_what_to_install()
{
	for list in "$network" "shm,$network" "tcp,$network"; do
		without "$library" "$run" -n 2 -x FARBUS_TRANSPORT="$list" "$hello"
		[ $code -ne 0 ] || die "$list: nobody said anything"
		explains
		! grep -q 'was told' "$work/out" || die "$list: it ran over something else"
	done
}

open__absent_in_one_rank__the_job_ends()
{
	job 1 "$network" "$network"
	[ $code -ne 0 ] || die "exit code 0"
	explains
	job 0 "$network" "$network"
	[ $code -ne 0 ] || die "exit code 0"
	explains
}

# Nobody ends the other rank: it has to find out by itself.
open__absent_in_one_rank_without_launcher__the_other_ends_in_its_time()
{
	local port=$((20000 + $$ % 10000)) other code=0
	export FARBUS_JOIN=127.0.0.1:$port FARBUS_SIZE=2 FARBUS_TIMEOUT=3000 FARBUS_SECRET=between-two
	FARBUS_NODE=a FARBUS_RANK=0 FARBUS_TRANSPORT=$network timeout -k 5 50 "$hello" >"$work/0" 2>&1 &
	other=$!
	FARBUS_NODE=b FARBUS_RANK=1 FARBUS_TRANSPORT=$network without "$library" "$hello"
	[ $code -ne 0 ] || die "rank 1: exit code 0"
	explains
	code=0
	wait $other || code=$?
	[ $code -ne 0 ] || die "rank 0: exit code 0"
	[ $code -ne 124 ] || die "rank 0 hangs"
	[ -s "$work/0" ] || die "rank 0 says nothing"
}

# What remains is TCP.
open__absent_and_not_asked_for__the_job_runs()
{
	job 1 auto auto
	[ $code -eq 0 ] || die "exit code $code"
	told
	job 1 auto "$network,tcp"
	[ $code -eq 0 ] || die "mixed: exit code $code"
	told
	job 0 auto "$network,tcp"
	[ $code -eq 0 ] || die "mixed: exit code $code"
	told
}

present
case $part in
said)
	info__library_absent__says_which_and_the_package
	open__absent_and_not_asked_for__the_job_runs
	;;
asked)
	open__asked_for_and_absent__every_rank_says_what_to_install
	open__absent_in_one_rank__the_job_ends
	open__absent_in_one_rank_without_launcher__the_other_ends_in_its_time
	;;
*) die "no part $part" ;;
esac
