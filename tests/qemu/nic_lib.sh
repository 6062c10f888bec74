# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# nic_lib.sh -- what the NIC's tests with guests, and the demo, share
#
# For scripts whose first arguments are NIC PEER GUEST_DIR: farbus-nic, nic_peer, and what nic_kernel
# made. They run in a user and a network namespace of their own, so that they need no root. Network N is
# 10.77.N.0/24: peerN is the host's end of it, nicN the other, where the guest's device is. Everything is
# started in the background and ended by its pid.

nic=$1 peer=$2 guest=$3
work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" qemu-nic-XXXXXX)
pids=()
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

# mac N: of the guest in network N. Hexadecimal digits of N will do.
mac() { printf 52:54:00:12:34:%02x "$1"; }

# network N: its host sends what a wire would carry, MSS by MSS.
network()
{
	ip link set lo up
	ip link add "peer$1" type veth peer name "nic$1"
	ip address add "10.77.$1.1/24" dev "peer$1"
	# The guest's name for itself is fixed; asking for it takes time that a loaded machine lacks.
	ip neighbour add "10.77.$1.2" lladdr "$(mac "$1")" dev "peer$1"
	ip link set "peer$1" up
	ip link set "nic$1" up
	"$peer" plain "peer$1"
}

# device NAME PORT SOCKET OPTION...: farbus-nic as $NAME_pid, its counts in NAME.json. PORT: what --port
# wants, or the number of a network.
device()
{
	local name=$1 port=$2 socket=$work/$3.sock
	shift 3
	[[ $port == *:* ]] || port=tpacket:nic$port
	"$nic" --socket "$socket" --port "$port" --stats 0 "$@" \
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

# machine NAME N OPTION...: a guest in network N as $NAME_pid, its memory in the file NAME.ram; OPTIONs are
# those of its device.
machine()
{
	local name=$1 network=$2
	shift 2
	# The size is no multiple of 256 KiB: else QEMU 7.2 forgets dirty pages under TCG.
	qemu-system-x86_64 -accel tcg -cpu Nehalem -nodefaults -no-user-config -display none \
		-machine pc,memory-backend=ram0 -m 262152k \
		-object "memory-backend-file,id=ram0,size=262152k,mem-path=$work/$name.ram,share=on" \
		-kernel "$guest/vmlinuz" -initrd "$guest/initrd" -append "console=ttyS0 quiet panic=-1 \
			tsc=reliable no_timer_check mitigations=off nic_address=10.77.$network.2" \
		-serial "file:$work/$name.console.log" -qmp "unix:$work/$name.qmp,server=on,wait=off" \
		"$@" >"$work/$name.log" 2>&1 &
	pids+=($!)
	printf -v "${name}_pid" %s $!
}

# card NETDEV N: QEMU's option for the network card. QEMU 7.2 crashes with MSI-X, vhost-user and TCG, so
# there are no vectors.
card() { echo "virtio-net-pci,netdev=$1,mac=$(mac "$2"),vectors=0,romfile="; }

# vhost N SOCKET: leaves QEMU's options for a card behind farbus-nic in vhost_options.
vhost()
{
	# shellcheck disable=SC2034 # those who source this use it
	vhost_options=(-chardev "socket,id=net0,path=$work/$2.sock,reconnect=1"
		-netdev "vhost-user,id=net0,chardev=net0" -device "$(card net0 "$1")")
}

ready()
{
	wait_for 100 grep -qs "GUEST READY" "$work/$1.console.log" || fail "the guest does not come up"
}

# qmp NAME COMMAND: to its QEMU; what it answers is in NAME.qmp.log.
qmp()
{
	python3 - "$work/$1.qmp" "$2" >>"$work/$1.qmp.log" <<-'END' || fail "QMP: $2"
		import json, socket, sys
		with socket.socket(socket.AF_UNIX) as monitor:
		    monitor.settimeout(20)
		    monitor.connect(sys.argv[1])
		    lines = monitor.makefile()
		    lines.readline()
		    for command in ('{ "execute": "qmp_capabilities" }', sys.argv[2]):
		        monitor.sendall(command.encode() + b"\n")
		        answer = {}
		        while "return" not in answer and "error" not in answer:
		            answer = json.loads(lines.readline())
		            print(answer)
		        if "error" in answer:
		            sys.exit(1)
	END
}

# cpu_ns PID: CPU time of its threads so far.
cpu_ns()
{
	cat "/proc/$1"/task/*/schedstat | awk '{ ns += $1 } END { printf "%.0f\n", ns }'
}

# stop PID: a clean end, and its exit code.
stop()
{
	kill -TERM "$1" && wait "$1"
}
