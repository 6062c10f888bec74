#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# examples.sh -- the examples as a user runs them, one part per test
#
#   examples.sh PART FARBUS_RUN EXAMPLES_DIR
#
# PART: hello, gups, tokens, pagerank, input
set -u

part=$1
run=$2
examples=$3
pagerank=$examples/03-pagerank/pagerank
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

bad()
{
	echo "FAILED: $*"
	failures=$((failures + 1))
}

# launch N COMMAND ...: output in $work/out and $work/err, the exit code in $code.
launch()
{
	local n=$1
	shift
	code=0
	"$run" -n "$n" "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
	cat "$work/out" "$work/err"
}

has() { grep -qF -e "$1" "$work/out" || bad "not in the output: $1"; }
exits() { [ "$code" -eq "$1" ] || bad "exit code $code instead of $1"; }

hello__three_ranks__each_is_told_by_the_one_before()
{
	launch 3 "$examples/01-hello/hello"
	exits 0
	has "rank 0 was told: hello from rank 2 of 3"
	has "rank 1 was told: hello from rank 0 of 3"
	has "rank 2 was told: hello from rank 1 of 3"
}

gups__atomic__exact_for_any_number_of_ranks()
{
	local n
	for n in 1 3 4; do
		launch $n "$examples/02-gups/gups" --log2 14
		exits 0
		has "gups: 0 words wrong (0.0000 %), 0 allowed: passed"
	done
}

gups__get_and_put__within_what_the_rules_allow()
{
	launch 2 "$examples/02-gups/gups" --log2 16 --how getput
	exits 0
	has "655 allowed: passed"
	launch 1 "$examples/02-gups/gups" --log2 9
	exits 2
}

tokens__three_ranks__every_fact_holds()
{
	launch 3 "$examples/04-tokens/tokens"
	exits 0
	# A script that stops early would pass without having checked.
	[ "$(grep -c '  ok  ' "$work/out")" -eq 27 ] || bad "not 27 facts"
	launch 2 "$examples/04-tokens/tokens"
	exits 2
}

# A graph with dangling nodes, a loop, a double edge, odd names and more nodes than ranks.
graph_write()
{
	awk 'BEGIN {
		print "# a comment"; print ""; print "a a"; print "a\tb"; print "a b"
		print "\"quoted\" caf\303\251"; x = 1
		for (i = 0; i < 3000; i++) {
			x = (x * 1103515245 + 12345) % 2147483648
			y = (x * 69069 + 1) % 2147483648
			print "n" x % 700, "n" int(y / 3) % 900
		}
	}' >"$1"
}

# best FILE: the scores as printed, which are equal only if the bits are.
best() { sed 's/.*"top"://' "$1"; }

pagerank__any_number_of_ranks__same_bits_and_right()
{
	local n
	graph_write "$work/g"
	for n in 1 2 4 7; do
		launch $n "$pagerank" --check --top 20 --json "$work/$n.json" "$work/g"
		exits 0
		has "allowed: passed"
		[ "$(best "$work/$n.json")" = "$(best "$work/1.json")" ] || bad "$n ranks: other scores"
	done
	grep -q '"name":' "$work/1.json" || bad "no scores in the JSON"
}

pagerank__more_ranks_than_nodes__right()
{
	echo "x y" >"$work/g"
	launch 5 "$pagerank" --check "$work/g"
	exits 0
	has "allowed: passed"
	# y is dangling: x = (1 - d) / 2 + d * y / 2 and x + y = 1 give y = 1.85 / 2.85.
	has "6.491228e-01  y"
}

pagerank__served__same_scores()
{
	graph_write "$work/g"
	launch 2 "$pagerank" --iterations 3 --json "$work/mapped.json" "$work/g"
	exits 0
	FARBUS_MAPPABLE=0 launch 2 "$pagerank" --iterations 3 --json "$work/served.json" "$work/g"
	exits 0
	has "path served"
	[ "$(best "$work/mapped.json")" = "$(best "$work/served.json")" ] || bad "other scores"
}

pagerank__gzip__as_plain()
{
	graph_write "$work/g"
	gzip -k "$work/g"
	launch 2 "$pagerank" --json "$work/plain.json" "$work/g"
	launch 2 "$pagerank" --json "$work/gzip.json" "$work/g.gz"
	exits 0
	[ "$(best "$work/plain.json")" = "$(best "$work/gzip.json")" ] || bad "other scores"
}

# refused TEXT FILE: exit code 1, one line, said once for all ranks.
refused()
{
	launch 3 "$pagerank" "$2"
	exits 1
	[ "$(grep -cF -e "pagerank: $2$1" "$work/err")" -eq 1 ] || bad "not once: pagerank: $2$1"
}

pagerank__bad_input__the_line_is_named()
{
	printf 'a b\nc\n' >"$work/one"
	refused ":2: one word" "$work/one"
	printf 'a b\n\nc d e\n' >"$work/three"
	refused ":3: more than two words" "$work/three"
	printf 'a b\nc d\0e\n' >"$work/nul"
	refused ":2: a NUL byte" "$work/nul"
	{ printf 'a b\n'; head -c 5000 /dev/zero | tr '\0' x; } >"$work/long"
	refused ":2: longer than" "$work/long"
	printf '# nothing\n' >"$work/empty"
	refused ": no edge" "$work/empty"
	refused ": cannot be opened" "$work/missing"
	refused ":1: cannot be read" "$work"
	graph_write "$work/g"
	gzip -c "$work/g" | head -c 3000 >"$work/cut.gz"
	launch 2 "$pagerank" "$work/cut.gz"
	exits 1
	{ gzip -c "$work/g" | head -c -8; printf 'xxxxxxxx'; } >"$work/sum.gz"
	launch 2 "$pagerank" "$work/sum.gz"
	exits 1
}

pagerank__bad_command_line__exit_2()
{
	echo "a b" >"$work/g"
	local arg
	for arg in "--damping 2" "--damping x" "--iterations 0" "--top -1" "--what" "--json"; do
		# shellcheck disable=SC2086
		launch 2 "$pagerank" "$work/g" $arg
		exits 2
	done
	launch 2 "$pagerank"
	exits 2
	launch 1 "$pagerank" --help
	exits 0
	has "usage: pagerank"
	launch 2 "$pagerank" --json "$work/no/such/folder" "$work/g"
	exits 1
}

case $part in
hello) hello__three_ranks__each_is_told_by_the_one_before ;;
gups)
	gups__atomic__exact_for_any_number_of_ranks
	gups__get_and_put__within_what_the_rules_allow
	;;
tokens) tokens__three_ranks__every_fact_holds ;;
pagerank)
	pagerank__any_number_of_ranks__same_bits_and_right
	pagerank__more_ranks_than_nodes__right
	pagerank__served__same_scores
	pagerank__gzip__as_plain
	;;
input)
	pagerank__bad_input__the_line_is_named
	pagerank__bad_command_line__exit_2
	;;
*)
	echo "examples.sh: unknown part $part" >&2
	exit 2
	;;
esac
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
