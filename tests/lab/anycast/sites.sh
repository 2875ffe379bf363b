# Shell library: two sites, the network between, and a client, out of namespaces. See README.md beside it.
#
#   client ── wan0 ── edge ─┬─ wan1 ── r1 ── sw1 ─┬─ lb1a lb1b    load balancers; a is active
#                           │                     └─ rs11 rs12    real servers, virtual addresses on lo
#                           └─ wan2 ── r2 ── sw2 ─┬─ lb2a lb2b
#                                                 └─ rs21 rs22
#
# Site 1 is examples/anycast-frr, file by file; site 2 is the same with a 2 in the place of the 1. The edge
# prefers site 1. The switches, bridges in the namespace `wires`, keep everybody's carrier up, so that whoever is
# cut off is silent, and not seen to be gone.

# shellcheck source=../net.sh
. "$LAB/net.sh"

TARGET=${TARGET:-$(cd "$LAB/../.." && pwd)/target/debug}
EXAMPLE=$LAB/../../examples/anycast-frr
TRAFFIC=$TARGET/examples/anycast-traffic
HOOK=$TARGET/ldirectord-anycast
LBS="lb1a lb1b lb2a lb2b"
SERVERS="rs11 rs12 rs21 rs22"
RUN=/run/anycast

# Milliseconds since 1970, without a process.
now() {
    local seconds=${EPOCHREALTIME%.*} rest=${EPOCHREALTIME#*.}
    echo "$seconds${rest:0:3}"
}

say() {
    echo "anycast: $*" >&2
}

# The digit after the letters: 1 for lb1a.
site_of() {
    local number=${1//[^0-9]/}
    echo "${number:0:1}"
}

# Turns a file of the example (site 1, load balancer A) into that of another machine.
for_machine() {
    local machine=$1 site
    site=$(site_of "$machine")
    sed -e "s/10\.10\.1\./10.10.$site./g; s/fd00:10:1::/fd00:10:$site::/g" \
        -e "s/10\.0\.1\./10.0.$site./g; s/fd00:0:1::/fd00:0:$site::/g" \
        -e "s/6501\([0-9]\)/650${site}1/g; s/65001/6500$site/g" \
        -e "s/hostname .*/hostname $machine/" \
        -e "s/router-id 10.10.$site.11/router-id 10.10.$site.$(host_of "$machine")/"
}

# Every `ip` is a process, and processes are dear in the guest: commands are collected, and run in one batch
# for each namespace.
batch() {
    local namespace=$1
    shift
    echo "$*" >>"$RUN/batch/$namespace"
}

# wire NAMESPACE DEVICE SWITCH IPV4 IPV6
wire() {
    batch all link add "$2" netns "$1" type veth peer name "$1-$2" netns wires
    batch wires link set "$1-$2" master "$3" up
    batch "$1" link set "$2" up
    batch "$1" address add "$4" dev "$2"
    batch "$1" address add "$5" dev "$2" nodad
}

# gateway NAMESPACE IPV4 IPV6
gateway() {
    batch "$1" route add default via "$2"
    batch "$1" route add default via "$3"
}

network() {
    local namespace site machine host
    mkdir -p "$RUN/batch"
    for namespace in wires client edge r1 r2 $LBS $SERVERS; do
        batch all netns add "$namespace"
        batch "$namespace" link set lo up
    done
    for namespace in wan0 wan1 wan2 sw1 sw2; do
        batch wires link add "$namespace" type bridge
        batch wires link set "$namespace" up
    done
    wire client e0 wan0 10.0.0.2/24 fd00::2/64
    wire edge e0 wan0 10.0.0.1/24 fd00::1/64
    gateway client 10.0.0.1 fd00::1
    for site in 1 2; do
        wire edge "w$site" "wan$site" "10.0.$site.1/24" "fd00:0:$site::1/64"
        batch edge route add "10.10.$site.0/24" via "10.0.$site.2"
        batch edge route add "fd00:10:$site::/64" via "fd00:0:$site::2"
        wire "r$site" w0 "wan$site" "10.0.$site.2/24" "fd00:0:$site::2/64"
        wire "r$site" e0 "sw$site" "10.10.$site.1/24" "fd00:10:$site::1/64"
        gateway "r$site" "10.0.$site.1" "fd00:0:$site::1"
        # Anycast that no load balancer of the site announces goes nowhere: not back to the edge.
        batch "r$site" route add blackhole 198.51.100.0/24
        batch "r$site" route add blackhole 2001:db8:53::/64
        for machine in "lb${site}a" "lb${site}b" "rs${site}1" "rs${site}2"; do
            host=$(host_of "$machine")
            wire "$machine" e0 "sw$site" "10.10.$site.$host/24" "fd00:10:$site::$host/64"
            gateway "$machine" "10.10.$site.1" "fd00:10:$site::1"
        done
    done
    for machine in $LBS; do
        batch "$machine" link add anycast0 type dummy
        batch "$machine" link set anycast0 up
    done
    for machine in $SERVERS; do
        sed -n 's/^\tup ip //p' "$EXAMPLE/real-server/interfaces" >>"$RUN/batch/$machine"
    done

    ip -batch "$RUN/batch/all" || return
    ip -n wires -batch "$RUN/batch/wires" || return
    for namespace in client edge r1 r2 $LBS $SERVERS; do
        ip -n "$namespace" -batch "$RUN/batch/$namespace" || return
    done
    for machine in edge r1 r2; do
        net_exec "$machine" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 || return
    done
    for machine in $LBS; do
        net_exec "$machine" sysctl -q -e -p "$EXAMPLE/load-balancer/sysctl.conf" || return
    done
    for machine in $SERVERS; do
        net_exec "$machine" sysctl -q -e -p "$EXAMPLE/real-server/sysctl.conf" || return
    done
}

# The last part of a machine's addresses in its site's network.
host_of() {
    case $1 in
        r?) echo 1 ;;
        lb?a) echo 11 ;;
        lb?b) echo 12 ;;
        rs?1) echo 21 ;;
        rs?2) echo 22 ;;
    esac
}

# cut_off MACHINE | plug_in MACHINE: its cables, at the other end: it is silent, and nobody's link goes down.
cut_off() { cables "$1" down; }
plug_in() { cables "$1" up; }
cables() {
    local device
    # A router without its site would tell the network so, as long as it reaches it.
    for device in w0 e0; do
        [ $device = w0 ] && [ "${1#r?}" ] && continue
        ip -n wires link set "$1-$device" "$2" || return
    done
}

# ---- real servers ----

servers_start() {
    local machine site host
    for machine in "$@"; do
        site=$(site_of "$machine") host=$(host_of "$machine")
        ip netns exec "$machine" "$TRAFFIC" serve "$site" "${machine:3:1}" \
            "10.10.$site.$host" "fd00:10:$site::$host" \
            198.51.100.53 198.51.100.80 2001:db8:53::53 2001:db8:53::80 &
        echo $! >"$RUN/$machine.pid"
        # So that the shell does not report its end.
        disown
    done
}

# Nobody listens any more: connections are refused.
servers_kill() {
    local machine
    for machine in "$@"; do
        kill -9 "$(cat "$RUN/$machine.pid")" 2>/dev/null
    done
}

# ---- routing ----

# zebra, bgpd and, if BFD is set, bfdd, each with its part of the machine's file. vtysh -b would do the same
# with the whole file, in seven times the time.
routing_start() {
    local machine=$1 daemon etc=/etc/frr/$1
    mkdir -p "$etc" "/run/frr/$machine"
    case $machine in
        edge) cat "$LAB/anycast/edge.conf" ;;
        r?) for_machine "$machine" <"$EXAMPLE/router/frr.conf" ;;
        lb*) for_machine "$machine" <"$EXAMPLE/load-balancer/frr.conf" ;;
    esac >"$etc/frr.conf"
    sed -n '/^hostname/p' "$etc/frr.conf" >"$etc/zebra.conf"
    sed '/^bfd/,$d' "$etc/frr.conf" |
        if [ "$BFD" = yes ]; then cat; else sed '/^ neighbor .* bfd/d'; fi >"$etc/bgpd.conf"
    sed -n '/^bfd/,$p' "$etc/frr.conf" >"$etc/bfdd.conf"
    touch "$etc/vtysh.conf"
    chown -R frr:frr "$etc" "/run/frr/$machine"
    for daemon in zebra bfdd bgpd; do
        [ "$daemon$BFD" = bfddno ] && continue
        routing_daemon "$machine" "$daemon" || return
    done
}

routing_daemon() {
    local machine=$1 daemon=$2
    net_exec "$machine" "/usr/lib/frr/$daemon" -d -N "$machine" -f "/etc/frr/$machine/$daemon.conf" \
        -i "/run/frr/$machine/$daemon.pid" --vty_socket "/run/frr/$machine" \
        --log "file:/run/frr/$machine/$daemon.log" >>"$RUN/$machine.routing" 2>&1 || {
        cat "$RUN/$machine.routing" >&2
        return 1
    }
}

routing_stop() {
    local machine=$1 daemon=$2
    kill "$(cat "/run/frr/$machine/$daemon.pid")"
}

# ---- directors ----

# The configuration of the example, for one family and one director.
director_configuration() {
    local machine=$1
    echo "${EXTRA:-}"
    for_machine "$machine" <"$EXAMPLE/load-balancer/ldirectord.cf" | sed \
        -e "s|/usr/sbin/ldirectord-anycast|$HOOK --state-dir /run/anycast/$machine.state|" \
        -e "s|^logfile=.*|logfile=\"$RUN/$machine.log\"|" | of_family |
        if [ "$DIRECTOR" = ours ]; then cat; else sed '/^fallbackcommand[a-z]/d'; fi |
        # On a busy machine the checks need more time than a site would give them.
        if [ "$SLACK" = 0 ]; then cat; else sed 's/timeout=1$/timeout=3/'; fi
}

# Sections of the other family are left out: half the checks.
of_family() {
    awk -v want="$FAMILY" '/^virtual/ { keep = (want == 4) == ($0 !~ /^virtual6/) }
        /^[a-z]/ && !/^virtual/ { keep = 1 } keep'
}

director_start() {
    local machine=$1
    mkdir -p /run/anycast/etc
    director_configuration "$machine" >"$RUN/etc/$machine.cf"
    director "$machine" start
}

# director MACHINE start|stop|restart|reload
director() {
    local machine=$1 program
    case $DIRECTOR in
        ours) program=$TARGET/ldirectord ;;
        original) program=/usr/sbin/ldirectord ;;
    esac
    net_exec "$machine" "$program" "$RUN/etc/$machine.cf" "$2" >>"$RUN/$machine.out" 2>&1
}

# The guard of a load balancer, with a lease of 3 s. The machines share a file system: it sees the control
# socket of this one's director only.
guard_start() {
    local machine=$1
    # shellcheck disable=SC2016 # for the inner shell
    net_exec "$machine" unshare --mount sh -c 'mkdir -p /run/anycast/control &&
        mount --bind /run/ldirectord-rs /run/anycast/control && mount -t tmpfs tmpfs /run/ldirectord-rs &&
        ln -s "/run/anycast/control/$1.cf.sock" /run/ldirectord-rs/ && exec "$2" --interface anycast0 \
        --subnet 198.51.100.0/24,2001:db8:53::/64 --state-dir "/run/anycast/$1.state" guard --lease 3' \
        - "$machine" "$HOOK" >>"$RUN/$machine.guard" 2>&1 &
    GUARD=$!
}

director_kill() {
    kill -9 "$(cat "/run/ldirectord.$1.cf.pid")"
}
