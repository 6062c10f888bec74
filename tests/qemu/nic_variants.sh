#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154 # nic_lib.sh sets them
# nic_variants.sh -- guests that negotiate different things, ports, and front ends that die
#
#   nic_variants.sh NIC PEER GUEST_DIR PROGRAM
#
# Each guest gets and sends a stream whose bytes are checked. Exit 77: no guest can run here.
set -eu

if [ -z "${NIC_NAMESPACE:-}" ]; then
	"$(dirname "$0")/nic_kernel" "$4" "$3" || exit $?
	NIC_NAMESPACE=1 exec unshare -rn "$0" "$@"
fi
. "$(dirname "$0")/nic_lib.sh"
bytes=40000000

# streams NETWORK WHAT: both ways.
streams()
{
	local result
	result=$("$peer" send $bytes "10.77.$1.2" 2>"$work/peer.log") || fail "$2, to the guest: $result"
	echo "$2, to the guest: $result"
	result=$("$peer" fetch $bytes "10.77.$1.2" 2>"$work/peer.log") || fail "$2, from the guest: $result"
	echo "$2, from the guest: $result"
}

# count DEVICE PATH: of the counts that it prints when it ends.
count() { jq -e ".devices[0].$2" "$work/$1.json"; }

# finish_device NAME: ends it, and looks whether it is content.
finish_device()
{
	local pid=${1}_pid
	stop "${!pid}" || fail "$1: the end of farbus-nic"
	[ "$(count "$1" net.broken)" -eq 0 ] || fail "$1: a virtqueue broke"
	[ "$(count "$1" net.tx_bad)" -eq 0 ] || fail "$1: frames of the guest were refused"
	[ "$(count "$1" net.rx_bad)" -eq 0 ] || fail "$1: frames for the guest were refused"
}

# variant NAME PROPERTIES DEVICE_OPTION...: a guest whose card has these properties.
variant()
{
	local name=$1 properties=$2 pid=${1}_vm_pid
	shift 2
	device "$name" 1 "$name" "$@"
	vhost 1 "$name"
	machine "${name}_vm" 1 "${vhost_options[@]/%romfile=/romfile=,$properties}"
	ready "${name}_vm"
	streams 1 "$name"
	kill -9 "${!pid}"
	wait "${!pid}" 2>/dev/null || :
	finish_device "$name"
}

network 1
variant packed packed=on --packed
[ "$(count packed net.rx_packets)" -lt $(($(count packed net.rx_frames) / 3)) ] ||
	fail "packed: nothing is merged"
variant single mrg_rxbuf=off
variant simple indirect_desc=off,event_idx=off,mrg_rxbuf=off,guest_tso4=off,guest_tso6=off,guest_ecn=off
variant bare csum=off,guest_csum=off,gso=off,host_tso4=off,guest_tso4=off
[ "$(count bare net.rx_packets)" -eq $(($(count bare net.rx_frames) - $(count bare net.rx_dropped))) ] ||
	fail "bare: a guest that did not agree to aggregates got some"

# Several queues: Linux uses as many pairs as it has CPUs; each flow has one of them.
device queues 1 queues --queues 2
vhost 1 queues
vhost_options=("${vhost_options[@]/%chardev=net0/chardev=net0,queues=2}")
vhost_options=("${vhost_options[@]/%romfile=/romfile=,mq=on}")
machine queues_vm 1 -smp 2 "${vhost_options[@]}"
ready queues_vm
flows=()
# So many that they are all in one queue once in 30000 runs.
for i in {1..16}; do
	"$peer" send 10000000 10.77.1.2 >"$work/flow$i" 2>"$work/peer$i.log" &
	flows+=($!)
	pids+=($!)
done
for flow in "${flows[@]}"; do wait "$flow" || fail "queues: a stream"; done
kill -9 "$queues_vm_pid"
wait "$queues_vm_pid" 2>/dev/null || :
finish_device queues
for pair in 0 1; do
	[ "$(count queues "queues[$pair].rx_calls")" -gt 0 ] ||
		fail "queues: pair $pair had nothing to do"
done
echo "queues: both had flows"

# The front end is killed, and another one comes; then memory is added to it while it runs.
FARBUS_LOG=debug device lives 1 lives
vhost 1 lives
machine first 1 "${vhost_options[@]}"
ready first
streams 1 first
kill -9 "${first_pid:?}"
wait "$first_pid" 2>/dev/null || :
machine second 1 "${vhost_options[@]}" -m 262152k,slots=2,maxmem=1G
ready second
streams 1 second
"$peer" send 200000000 10.77.1.2 >"$work/added" 2>"$work/peer.log" &
sender=$!
pids+=("$sender")
qmp second '{ "execute": "object-add", "arguments": { "qom-type": "memory-backend-memfd", "id": "more",
	"size": 134217728, "share": true } }'
qmp second '{ "execute": "device_add", "arguments": { "driver": "pc-dimm", "id": "dimm", "memdev": "more" } }'
wait_for 20 grep -q "vhost-user request 37" "$work/lives.log" || fail "no memory was added"
wait "$sender" || fail "the stream while memory was added: $(cat "$work/added")"
streams 1 "more memory"
kill -9 "${second_pid:?}"
wait "$second_pid" 2>/dev/null || :
stop "${lives_pid:?}" || fail "lives: the end of farbus-nic"
[ "$(count lives connections)" -eq 2 ] || fail "lives: not two front ends"
[ "$(count lives net.broken)" -eq 0 ] || fail "lives: a virtqueue broke"

# A TAP interface: the host's own stack is the other side, and leaves checksums and cutting to us.
ip tuntap add tap2 mode tap vnet_hdr
ip address add 10.77.2.1/24 dev tap2
ip neighbour add 10.77.2.2 lladdr "$(mac 2)" dev tap2
ip link set tap2 up
device tap tap:tap2 tap
vhost 2 tap
machine tap_vm 2 "${vhost_options[@]}"
ready tap_vm
streams 2 tap
kill -9 "${tap_vm_pid:?}"
wait "$tap_vm_pid" 2>/dev/null || :
finish_device tap
