#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154 # nic_lib.sh sets them
# nic_smoke.sh -- a guest behind farbus-nic gets and sends TCP streams, checked byte by byte
#
#   nic_smoke.sh NIC PEER GUEST_DIR PROGRAM
#
# With aggregation; then the device is killed in the middle of a stream, and another one, which does not
# aggregate, goes on with the guest and the stream. PROGRAM is nic_guest. Exit 77: no guest can run here.
set -eu

if [ -z "${NIC_NAMESPACE:-}" ]; then
	"$(dirname "$0")/nic_kernel" "$4" "$3" || exit $?
	NIC_NAMESPACE=1 exec unshare -rn "$0" "$@"
fi
. "$(dirname "$0")/nic_lib.sh"

# count DEVICE FIELD: from its counts at the end.
count()
{
	jq -e ".devices[0].net.$2" "$work/$1.json"
}

network 9
device merging 9 net
vhost 9 net
machine vm 9 "${vhost_options[@]}"
ready vm

result=$("$peer" send 60000000 10.77.9.2) || fail "to the guest: $result"
echo "to the guest, merging: $result"
result=$("$peer" fetch 60000000 10.77.9.2) || fail "from the guest: $result"
echo "from the guest: $result"
kill -USR1 "${merging_pid:?}"
wait_for 10 test -s "$work/merging.json" || fail "no counts on SIGUSR1"
frames=$(count merging rx_frames) packets=$(count merging rx_packets)
echo "$frames frames became $packets packets"
[ "$((packets * 3))" -lt "$frames" ] || fail "too few frames are merged"
[ "$(count merging broken)" -eq 0 ] || fail "a virtqueue broke"

"$peer" send 200000000 10.77.9.2 >"$work/result" 2>"$work/send.log" &
sender=$!
pids+=("$sender")
# What nic9 has received so far; /sys would be the host's.
received() { awk '$1 == "nic9:" { print $2 }' /proc/self/net/dev; }
before=$(received)
moved() { [ "$(received)" -gt $((before + 20000000)) ]; }
wait_for 20 moved || fail "the stream does not flow"
kill -9 "$merging_pid"
device plain 9 net --no-aggregation
wait "$sender" || fail "the stream whose device was killed: $(cat "$work/result")"
echo "to the guest, device killed meanwhile: $(cat "$work/result")"
stop "${plain_pid:?}" || fail "the end of farbus-nic"
[ ! -e "$work/net.sock" ] || fail "the socket is left behind"
[ "$(count plain rx_packets)" -eq $(($(count plain rx_frames) - $(count plain rx_dropped))) ] ||
	fail "frames that are neither delivered nor counted as dropped"
[ "$(count plain rx_frames)" -gt 10000 ] || fail "the second device had little to do"
[ "$(count plain broken)" -eq 0 ] || fail "a virtqueue broke"
