#!/bin/bash
# Inside the lab's guest: builds the two sites and runs scenarios, one line each on standard output:
#
#   result<TAB>scenario<TAB>family<TAB>director<TAB>outage-ms<TAB>lost<TAB>requests<TAB>route-changes<TAB>ok|FAILED<TAB>remark
#
# Environment: FAMILY=4|6, DIRECTOR=ours|original, BFD=yes|no, TARGET (where cargo built), SLACK (ms allowed
# beyond the aim). Arguments: names of scenarios, or `live` for the demonstration.
set -u
LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=sites.sh
. "$LAB/anycast/sites.sh"
# shellcheck source=scenarios.sh
. "$LAB/anycast/scenarios.sh"

mkdir -p "$RUN" /etc/frr
mount -t tmpfs tmpfs /etc/frr
mount -t tmpfs tmpfs /var/tmp

if [ "$FAMILY" = 4 ]; then
    DNS=198.51.100.53 WEB=198.51.100.80 VIA1=10.0.1.2
else
    DNS=2001:db8:53::53 WEB=2001:db8:53::80 VIA1=w1
fi

sites_start() {
    local machine
    say "two sites, IPv$FAMILY, $DIRECTOR, BFD $BFD"
    network || return
    servers_start $SERVERS
    for machine in edge r1 r2 $LBS; do
        routing_start "$machine" || return
    done
    for machine in lb1a lb2a; do
        director_start "$machine" || return
    done
    # What a router's kernel is told, by the router of each site.
    for machine in r1 r2; do
        stdbuf -oL ip -n "$machine" "-$FAMILY" monitor route >"$RUN/$machine.routes" &
    done
}

# Address on load balancer: up or not.
is_up() {
    ip -n "$1" -o address show dev anycast0 | grep -qwF "$2"
}

ip_edge_route() {
    ip -n edge "-$FAMILY" route show "$1"
}

# Both sites announce both addresses, the edge sends them to site 1, and clients are answered by it.
ready() {
    local address
    for address in "$DNS" "$WEB"; do
        is_up lb1a "$address" && is_up lb2a "$address" || return
        [ -n "$(ip -n r1 "-$FAMILY" route show "$address")" ] || return
        [ -n "$(ip -n r2 "-$FAMILY" route show "$address")" ] || return
        ip_edge_route "$address" | grep -qF "$VIA1" || return
    done
    [ ! -e "$RUN/requests" ] || answered_by 1
}

answered_by() {
    local total lost outage first1 first2 lost_by last
    eval "$("$TRAFFIC" judge "$RUN/requests" $(($(now) - 2500)) $(($(now) - 1100)))"
    nothing_lost && [ "$last" = "$1" ]
}

# What there is to see when the sites are not ready.
explain() {
    local machine
    say "not ready: $1"
    for machine in lb1a lb2a; do
        tail -n 20 "$RUN/$machine.out" "$RUN/$machine.log" "$RUN/$machine.routing"
        net_exec "$machine" "$HOOK" --state-dir "/run/anycast/$machine.state" status
        net_exec "$machine" ipvsadm -Ln
        vtysh -N "$machine" -c "show bgp $([ "$FAMILY" = 4 ] && echo ipv4 || echo ipv6) unicast summary"
    done
    ip -n edge "-$FAMILY" route show
    [ -e "$RUN/requests" ] && "$TRAFFIC" judge "$RUN/requests" $(($(now) - 2500)) $(($(now) - 1100))
    tail -n 12 "$RUN/requests"
} >&2 2>&1

sites_start || exit 1
net_wait 120 ready || {
    explain "at the start"
    exit 1
}

if [ "${1:-}" = live ]; then
    live
    exit
fi

ip netns exec client "$TRAFFIC" ask "$RUN/requests" "$DNS" "$WEB" &
client=$!
failed=0
for scenario in "$@"; do
    net_wait 90 ready || { explain "for $scenario"; failed=1; break; }
    say "$scenario"
    "scenario_$scenario" || failed=1
done
kill "$client"
exit "$failed"
