# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# migrate_lib.sh -- what the tests of farbus-migrate, and the demo, share
#
# For scripts whose first arguments are MIGRATE GUEST_DIR: farbus-migrate, and what nic_kernel made of
# migrate_guest. Everything is started in the background and ended by its pid.

migrate=$1 guest=$2
work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" qemu-migrate-XXXXXX)
pids=()
# The size is no multiple of 256 KiB: else QEMU 7.2 forgets dirty pages under TCG.
ram_kib=${MIGRATE_RAM_KIB:-262152}
export FARBUS_SECRET=tests-of-migration

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
		[ ! -s "$log" ] || { echo "--- ${log##*/}"; tail -20 "$log"; } >&2
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

# machine NAME RATE OPTION...: a QEMU as $NAME_pid with its RAM in NAME.ram.
machine()
{
	local name=$1 rate=$2
	shift 2
	qemu-system-x86_64 -accel tcg -cpu Nehalem -nodefaults -no-user-config -display none \
		-machine pc,memory-backend=ram0 -m "${ram_kib}k" \
		-object "memory-backend-file,id=ram0,size=${ram_kib}k,mem-path=$work/$name.ram,share=on" \
		-kernel "$guest/vmlinuz" -initrd "$guest/initrd" -append "console=ttyS0 quiet panic=-1 \
			tsc=reliable no_timer_check mitigations=off rate=$rate" \
		-serial "file:$work/$name.console.log" -qmp "unix:$work/$name.qmp,server=on,wait=off" \
		"$@" >"$work/$name.log" 2>&1 &
	pids+=($!)
	printf -v "${name}_pid" %s $!
	wait_for 20 test -S "$work/$name.qmp" || fail "QEMU does not start"
}

# Ready, and at work.
ready()
{
	wait_for 100 grep -qs "TICK [1-9]" "$work/$1.console.log" || fail "the guest does not come up"
}

# qmp NAME COMMAND [ARGUMENTS]: its answer.
qmp()
{
	python3 - "$work/$1.qmp" "$2" "${3:-{\}}" <<-'END'
		import json, socket, sys
		with socket.socket(socket.AF_UNIX) as monitor:
		    monitor.settimeout(20)
		    monitor.connect(sys.argv[1])
		    lines = monitor.makefile()
		    lines.readline()
		    calls = [("qmp_capabilities", {}), (sys.argv[2], json.loads(sys.argv[3]))]
		    for command, arguments in calls:
		        call = {"execute": command, "arguments": arguments}
		        monitor.sendall(json.dumps(call).encode() + b"\n")
		        answer = {}
		        while "return" not in answer and "error" not in answer:
		            answer = json.loads(lines.readline())
		    print(json.dumps(answer.get("return", answer)))
		    sys.exit("error" in answer)
	END
}

# status NAME: running, paused, postmigrate, ...; "gone" without a QEMU.
status()
{
	qmp "$1" query-status 2>/dev/null | jq -r .status 2>/dev/null | grep . || echo gone
}

is_status() { [ "$(status "$1")" = "$2" ]; }

port_free()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# dest NAME OPTION...; source_ NAME OPTION...: the two ends, as $dest_pid and $source_pid. With
# MIGRATE_HOSTS they take one another for different hosts.
dest()
{
	local name=$1
	shift
	port=$(port_free)
	FARBUS_NODE=${MIGRATE_HOSTS:+new} "$migrate" dest --qmp "$work/$name.qmp" --join "127.0.0.1:$port" "$@" \
		>"$work/dest.json" 2>"$work/dest.log" &
	dest_pid=$!
	pids+=("$dest_pid")
}

source_()
{
	local name=$1
	shift
	FARBUS_NODE=${MIGRATE_HOSTS:+old} "$migrate" source --qmp "$work/$name.qmp" --join "127.0.0.1:$port" --json "$@" \
		>"$work/source.json" 2>"$work/source.log" &
	source_pid=$!
	pids+=("$source_pid")
}

# code PID: its exit code, in $code.
code()
{
	code=0
	wait "$1" || code=$?
}

# pages_differ A B: of their RAM, as files. Both have to be stopped.
pages_differ()
{
	python3 - "$work/$1.ram" "$work/$2.ram" <<-'END'
		import sys
		differ = pages = 0
		with open(sys.argv[1], "rb") as a, open(sys.argv[2], "rb") as b:
		    while True:
		        x, y = a.read(1 << 20), b.read(1 << 20)
		        if len(x) != len(y):
		            sys.exit("files of different sizes")
		        if not x:
		            break
		        pages += len(x) // 4096
		        if x != y:
		            differ += sum(x[i:i + 4096] != y[i:i + 4096] for i in range(0, len(x), 4096))
		print(differ, pages)
	END
}

# tick NAME: the last number that its guest said.
tick()
{
	sed -n 's/^TICK \([0-9]*\).*/\1/p' "$work/$1.console.log" | tail -1
}
