# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# netns.sh -- several hosts in one test: network namespaces, joined by a bridge or a router
#
# Sourced by a test that is bash:
#
#   . netns.sh
#   netns_enter "$@"        the test starts again in namespaces of its own; 77 where that cannot be
#   netns_hosts 3 bridge    hosts 0, 1, 2, all in 10.77.0.0/24
#   netns_hosts 2 star      each host in a network of its own, 10.77.H+1.0/24, behind a router
#   netns_address H         a host's address; without H: that of the bridge, or of H's router
#   netns_run H COMMAND     runs it in a host, for at most $netns_timeout seconds
#   netns_start H COMMAND   the same in the background; its pid is in $netns_pid
#   netns_link H down|up    cuts a host off, without a word to anybody, and joins it again
#   netns_wire H G          a second link of hosts H and G, for a relay in its middle: H's interface
#                           wire0 is 10.77.200.1, G's is 10.77.200.2
#   netns_wire_start COMMAND   runs a relay there, with --from and --to: who is at G and connects to
#                           10.77.200.1 gets the relay, and it can connect to the real one
#
# What is always true:
#   Nothing is made outside of the test's own network, mount and pid namespaces. When its first
#   process ends, however it does, the kernel ends all others, and then all namespaces and links
#   are gone. So there is no teardown that a signal could prevent.

netns_timeout=${netns_timeout:-60}
netns_shape=""
netns_pid=""

netns_skip()
{
	echo "skipped: $*"
	exit 77
}

# netns_enter ARGUMENTS: of the script that calls it.
netns_enter()
{
	if [ -n "${NETNS_INSIDE:-}" ]; then
		[ "$$" -eq 1 ] || { echo "netns_enter: not in a namespace of its own" >&2; exit 1; }
		unset NETNS_INSIDE
		trap 'exit 130' INT # the first process of a namespace is not ended by default
		trap 'exit 143' TERM
		mkdir -p /run/netns
		mount -t tmpfs netns /run/netns
		ip link set lo up
		return
	fi
	[ "$(id -u)" -eq 0 ] || netns_skip "network namespaces are made by root only"
	command -v ip >/dev/null || netns_skip "no ip(8): install iproute2"
	unshare --mount --net --pid --fork --kill-child --mount-proc true 2>/dev/null ||
		netns_skip "unshare(2) is not permitted here"
	NETNS_INSIDE=1 exec unshare --mount --net --pid --fork --kill-child --mount-proc \
		bash "$0" "$@"
}

# netns_address [H]
netns_address()
{
	case $netns_shape:${1:-} in
	bridge:) echo 10.77.0.254 ;;
	bridge:*) echo "10.77.0.$(($1 + 1))" ;;
	star:) echo 10.77.1.1 ;;
	star:*) echo "10.77.$(($1 + 1)).2" ;;
	esac
}

netns_host_add()
{
	local host=$1
	ip netns add "host$host"
	ip link add "port$host" type veth peer name eth0 netns "host$host"
	nsenter --net="/run/netns/host$host" ip link set lo up
	nsenter --net="/run/netns/host$host" ip address add "$(netns_address "$host")/24" dev eth0
	nsenter --net="/run/netns/host$host" ip link set eth0 up
	if [ "$netns_shape" = bridge ]; then
		ip link set "port$host" master bridge0
		ip link set "port$host" up
	else
		ip address add "10.77.$((host + 1)).1/24" dev "port$host"
		ip link set "port$host" up
		nsenter --net="/run/netns/host$host" ip route add default via "10.77.$((host + 1)).1"
	fi
}

# netns_hosts COUNT bridge|star
netns_hosts()
{
	local host
	netns_shape=$2
	if [ "$netns_shape" = bridge ]; then
		ip link add bridge0 type bridge forward_delay 0 || return 1
		ip address add 10.77.0.254/24 dev bridge0
		ip link set bridge0 up
	else
		echo 1 >/proc/sys/net/ipv4/ip_forward || return 1
	fi
	for ((host = 0; host < $1; host++)); do
		netns_host_add "$host" || return 1
	done
}

# netns_run H COMMAND ...
netns_run()
{
	local host=$1
	shift
	nsenter --net="/run/netns/host$host" timeout -k 5 "$netns_timeout" "$@"
}

# netns_start H COMMAND ...: redirect its output at the call. The pid is the command's own, for kill.
netns_start()
{
	local host=$1
	shift
	nsenter --net="/run/netns/host$host" "$@" &
	netns_pid=$!
}

# netns_link H down|up
netns_link()
{
	ip link set "port$1" "$2"
}

# netns_wire H G. Each end's other end is in a namespace that plays the peer.
netns_wire()
{
	local end netns=("host$1" "host$2")
	for end in 0 1; do
		ip netns add "wire$end"
		ip link add wire0 netns "${netns[$end]}" type veth peer name wire0 netns "wire$end"
		nsenter --net="/run/netns/${netns[$end]}" \
			ip address add "10.77.200.$((end + 1))/24" dev wire0
		nsenter --net="/run/netns/wire$end" ip address add "10.77.200.$((2 - end))/24" dev wire0
		nsenter --net="/run/netns/${netns[$end]}" ip link set wire0 up
		nsenter --net="/run/netns/wire$end" ip link set wire0 up
	done
}

# netns_wire_start COMMAND OPTIONS ...: as netns_start.
netns_wire_start()
{
	"$@" --from /run/netns/wire1 --to /run/netns/wire0 10.77.200.1:7100 10.77.200.1:7100 &
	netns_pid=$!
}

# netns_wait SECONDS COMMAND ...: until it succeeds. 1: it did not in time.
netns_wait()
{
	local until=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.05
	done
}
