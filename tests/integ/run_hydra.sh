#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# run_hydra.sh CLIENT -- the test client under MPICH's Hydra; 77 where there is none
set -u
client=$1
command -v mpiexec.hydra >/dev/null || exit 77

out=$(timeout -k 5 50 mpiexec.hydra -n 4 "$client" fence) || {
	echo "mpiexec.hydra -n 4 $client fence ended with $?: $out"
	exit 1
}
for rank in 0 1 2 3; do
	case $out in
	*"fenced pmi1 $rank/4 local $rank/4"*) ;;
	*) echo "rank $rank is missing in: $out"; exit 1 ;;
	esac
done

timeout -k 5 50 mpiexec.hydra -n 3 "$client" abort 1 7
code=$?
[ $code -eq 7 ] || { echo "an abort with 7 ended with $code"; exit 1; }
