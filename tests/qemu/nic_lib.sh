# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# nic_lib.sh -- what the NIC's tests with guests, and the demo, share
#
# For scripts whose first arguments are NIC PEER GUEST_DIR: farbus-nic, nic_peer, and what nic_kernel
# made. They run in a user and a network namespace of their own, so that they need no root: peer0 has the
# address of the network's other side, nic0 is the port of farbus-nic. Everything is started in the
# background and ended by its pid.

nic=$1 peer=$2 guest=$3
work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" farbus-nic-XXXXXX)
pids=()
mac=52:54:00:12:34:56
export PATH=$PATH:/usr/sbin:/sbin

finish()
{
	local pid
	for pid in "${pids[@]}"; do
		kill -9 "$pid" 2>/dev/null || continue
		wait "$pid" 2>/dev/null || :
	done
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 143' TERM INT

fail()
{
	local log
	echo "FAILED: $*" >&2
	for log in "$work"/*.log; do
		[ ! -s "$log" ] || { echo "--- ${log##*/}"; tail -30 "$log"; } >&2
	done
	exit 1
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for()
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

network()
{
	ip link set lo up
	ip link add peer0 type veth peer name nic0
	ip address add 10.77.9.1/24 dev peer0
	# The guest's name for itself is fixed; asking for it takes time that a loaded machine lacks.
	ip neighbour add 10.77.9.2 lladdr $mac dev peer0
	ip link set peer0 up
	ip link set nic0 up
	"$peer" plain peer0
}

# device NAME SOCKET OPTION...: farbus-nic as $NAME_pid, its counts in NAME.json.
device()
{
	local name=$1 socket=$work/$2.sock
	shift 2
	"$nic" --socket "$socket" --port tpacket:nic0 --stats 0 "$@" \
		>"$work/$name.json" 2>"$work/$name.log" &
	pids+=($!)
	printf -v "${name}_pid" %s $!
	wait_for 10 listens "$socket" || fail "farbus-nic does not listen"
}

# A socket of a process that was killed is there, too; so the kernel is asked who listens.
listens()
{
	grep -q " 00010000 0001 .* $1\$" /proc/net/unix
}

# machine NAME RAM OPTION...: a guest as $NAME_pid whose memory is the file RAM; OPTIONs are those of
# its network.
machine()
{
	local name=$1 ram=$2
	shift 2
	# The size is no multiple of 256 KiB: else QEMU 7.2 forgets dirty pages under TCG.
	qemu-system-x86_64 -accel tcg -cpu Nehalem -nodefaults -no-user-config -display none \
		-machine pc,memory-backend=ram0 -m 262152k \
		-object "memory-backend-file,id=ram0,size=262152k,mem-path=$ram,share=on" \
		-kernel "$guest/vmlinuz" -initrd "$guest/initrd" \
		-append "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off" \
		-serial "file:$work/$name.console.log" -qmp "unix:$work/$name.qmp,server=on,wait=off" \
		"$@" >"$work/$name.log" 2>&1 &
	pids+=($!)
	printf -v "${name}_pid" %s $!
}

# vhost SOCKET: QEMU's options for a network behind a device. QEMU 7.2 crashes with MSI-X under TCG, so
# there are no vectors.
vhost()
{
	# shellcheck disable=SC2034 # those who source this use it
	vhost_options=(-chardev "socket,id=net0,path=$work/$1.sock,reconnect=1"
		-netdev "vhost-user,id=net0,chardev=net0"
		-device "virtio-net-pci,netdev=net0,mac=$mac,vectors=0,romfile=")
}

ready()
{
	wait_for 100 grep -qs "GUEST READY" "$work/$1.console.log" || fail "the guest does not come up"
}

# ticks PID: its CPU time so far, in hundredths of a second.
ticks()
{
	awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# stop PID: a clean end, and its exit code.
stop()
{
	kill -TERM "$1" && wait "$1"
}
