# Shell library: networks out of namespaces, for tests inside the lab's guest (or anywhere one is root).
# Source it; every function fails loudly through the commands it runs.
#
#   . tests/lab/net.sh
#   net_ns client director rs1              namespaces with lo up and forwarding on
#   net_link client c0 10.0.1.2/24 director d0 10.0.1.1/24
#                                           a veth pair, one end in each namespace; "-" gives no address
#   net_bridge director br0 10.0.2.1/24     a bridge in a namespace
#   net_port director br0 rs1 r0 10.0.2.11/24
#                                           a veth from a namespace into that bridge
#   net_dummy rs1 vip0 192.0.2.1/32         a dummy interface (a VIP that does not answer ARP)
#   net_exec rs1 ip -4 route add default via 10.0.2.1
#   net_wait 5 COMMAND…                     repeats COMMAND until it succeeds, at most 5 s
#   net_del client director rs1

net_exec() {
    local ns=$1
    shift
    ip netns exec "$ns" "$@"
}

net_ns() {
    local ns
    for ns in "$@"; do
        ip netns add "$ns" || return
        ip -n "$ns" link set lo up || return
        net_exec "$ns" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
            net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 || return
    done
}

net_del() {
    local ns
    for ns in "$@"; do
        ip netns del "$ns" || return
    done
}

# ADDRESS on DEVICE of NS; duplicate address detection would keep an IPv6 address unusable for a second.
net_addr() {
    local ns=$1 device=$2 address=$3
    case $address in
        -) return 0 ;;
        *:*) ip -n "$ns" addr add "$address" dev "$device" nodad ;;
        *) ip -n "$ns" addr add "$address" dev "$device" ;;
    esac
}

net_link() {
    local ns_a=$1 dev_a=$2 address_a=$3 ns_b=$4 dev_b=$5 address_b=$6
    ip -n "$ns_a" link add "$dev_a" type veth peer name "$dev_b" netns "$ns_b" || return
    ip -n "$ns_a" link set "$dev_a" up || return
    ip -n "$ns_b" link set "$dev_b" up || return
    net_addr "$ns_a" "$dev_a" "$address_a" || return
    net_addr "$ns_b" "$dev_b" "$address_b"
}

net_bridge() {
    local ns=$1 bridge=$2 address=$3
    ip -n "$ns" link add "$bridge" type bridge || return
    ip -n "$ns" link set "$bridge" up || return
    net_addr "$ns" "$bridge" "$address"
}

net_port() {
    local ns=$1 bridge=$2 member=$3 device=$4 address=$5 port
    # An interface's name has at most 15 characters and must be unique in the bridge's namespace.
    port=p$(printf '%s' "$member-$device" | cksum | cut -d ' ' -f 1)
    net_link "$ns" "$port" - "$member" "$device" "$address" || return
    ip -n "$ns" link set "$port" master "$bridge"
}

net_dummy() {
    local ns=$1 device=$2 address=$3
    ip -n "$ns" link add "$device" type dummy || return
    ip -n "$ns" link set "$device" up || return
    net_exec "$ns" sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 || return
    net_addr "$ns" "$device" "$address"
}

net_wait() {
    local seconds=$1 deadline
    shift
    deadline=$(($(date +%s) + seconds))
    until "$@"; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "net_wait: not within $seconds s: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}
