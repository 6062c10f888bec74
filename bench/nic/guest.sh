#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154 # nic_lib.sh sets them
# guest.sh -- TCP into guests: farbus-nic with and without aggregation, beside the kernel's TAP and GRO
#
#   guest.sh NIC PEER GUEST_DIR PROGRAM [ROUNDS [MEGABYTES]]
#
# Three guests of QEMU that are alike but for their device, each behind a veth pair whose host sends
# segment by segment, as a wire would carry it. They get a stream in turns, ROUNDS times, and check each
# byte. The third has QEMU's own virtio device on a TAP interface, bridged with a veth whose packets the
# kernel merges (GRO).
#
# Prints one JSON object: medians of the rounds. CPU is that of QEMU, of farbus-nic and of the sender,
# in ms per MB; what the kernel does for a packet it mostly does in the sender's name. Exit 77: no guest
# can run here.
set -eu

tests=$(cd "$(dirname "$0")/../../tests/qemu" && pwd)
if [ -z "${NIC_NAMESPACE:-}" ]; then
	"$tests/nic_kernel" "$4" "$3" || exit $?
	[ -w /dev/net/tun ] || { echo "guest.sh: skipped: /dev/net/tun cannot be opened" >&2; exit 77; }
	NIC_NAMESPACE=1 exec unshare -rn "$0" "$@"
fi
rounds=${5:-10} megabytes=${6:-100}
. "$tests/nic_lib.sh"

for network in 1 2 3; do network $network; done
device agg 1 agg
device plain 2 plain --no-aggregation
ip link add bridge type bridge
"$peer" gro nic3
ip tuntap add tap3 mode tap vnet_hdr
for interface in nic3 tap3; do
	ip link set $interface master bridge
	ip link set $interface up
done
ip link set bridge up
vhost 1 agg
machine vm1 1 "${vhost_options[@]}"
vhost 2 plain
machine vm2 2 "${vhost_options[@]}"
machine vm3 3 -netdev tap,id=net0,ifname=tap3,script=no,downscript=no -device "$(card net0 3)"
for vm in vm1 vm2 vm3; do ready $vm; done

# softirq_ms: what the machine has spent on packets outside of any process.
softirq_ms()
{
	awk -v hz="$(getconf CLK_TCK)" '$1 == "cpu" { printf "%.0f\n", $8 * 1000 / hz }' /proc/stat
}

# turn NETWORK NAME QEMU [DEVICE]: one stream; a line of figures, in NAME.rounds.
turn()
{
	local qemu device=0 result soft
	soft=$(softirq_ms)
	qemu=$(cpu_ns "$3")
	[ $# -lt 4 ] || device=$(cpu_ns "$4")
	result=$("$peer" send $((megabytes * 1000000)) "10.77.$1.2" 2>"$work/peer.log") ||
		fail "$2: $result"
	qemu=$(($(cpu_ns "$3") - qemu))
	[ $# -lt 4 ] || device=$(($(cpu_ns "$4") - device))
	echo "$result $qemu $device $(($(softirq_ms) - soft))" >>"$work/$2.rounds"
}

for ((i = 0; i < rounds; i++)); do
	turn 1 agg "$vm1_pid" "$agg_pid"
	turn 2 plain "$vm2_pid" "$plain_pid"
	turn 3 tap "$vm3_pid"
done
stop "$agg_pid" || fail "the end of farbus-nic"
stop "$plain_pid" || fail "the end of farbus-nic"

# A line of *.rounds: BYTES BAD MBPS SENDER_MS QEMU_NS DEVICE_NS SOFTIRQ_MS.
figures()
{
	jq -cRn '[inputs | split(" ") | map(tonumber)] |
		def median: sort | .[length / 2 | floor];
		def per_mb(f): map(f / (.[0] / 1e6)) | median * 100 | round / 100;
		{ mbps: map(.[2]) | median, bytes_bad: map(.[1]) | add,
		  qemu_ms_per_mb: per_mb(.[4] / 1e6), nic_ms_per_mb: per_mb(.[5] / 1e6),
		  sender_ms_per_mb: per_mb(.[3]), softirq_ms_per_mb: per_mb(.[6]),
		  host_ms_per_mb: per_mb(.[3] + .[6] + (.[4] + .[5]) / 1e6) }' \
		"$work/$1.rounds"
}
jq -cn --argjson agg "$(figures agg)" --argjson plain "$(figures plain)" --argjson tap "$(figures tap)" \
	--slurpfile counts "$work/agg.json" --slurpfile plain_counts "$work/plain.json" \
	--argjson rounds "$rounds" --argjson megabytes "$megabytes" '
	($counts[0].devices[0]) as $device | ($plain_counts[0].devices[0]) as $other |
	{ guest_mbps_agg: $agg.mbps, guest_mbps_plain: $plain.mbps, tap_gro_mbps: $tap.mbps,
	  pkts_per_aggregate: ($device.net.rx_frames / $device.net.rx_packets * 10 | round / 10),
	  bytes_bad: ($agg.bytes_bad + $plain.bytes_bad + $tap.bytes_bad),
	  frames_dropped_agg: ($device.net.rx_dropped + $device.port.rx_lost),
	  frames_dropped_plain: ($other.net.rx_dropped + $other.port.rx_lost),
	  host_ms_per_mb_agg: $agg.host_ms_per_mb, host_ms_per_mb_plain: $plain.host_ms_per_mb,
	  host_ms_per_mb_tap_gro: $tap.host_ms_per_mb,
	  cpu: { agg: $agg, plain: $plain, tap_gro: $tap }, rounds: $rounds, megabytes: $megabytes }'
