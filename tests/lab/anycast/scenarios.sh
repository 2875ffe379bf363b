# Shell library: the failures of issue and paper, one function each. Each begins with two healthy sites and leaves
# them so. `begin` starts the clock, `observe SECONDS` waits and measures, `expect …` asserts and reports.

begin() {
    CHANGES_BEFORE=$(routes_seen)
    FROM=$(now)
}

# Lines that the two site routers' kernels have told so far, per address.
routes_seen() {
    local address
    for address in "$DNS" "$WEB"; do
        cat "$RUN/r1.routes" "$RUN/r2.routes" | grep -cwF "$address"
    done | paste -sd ' '
}

# Sets total, lost, outage, first1, first2, last, and changes: route changes of the address that had most.
observe() {
    sleep "$1"
    local to before after
    to=$(now)
    read -ra before <<<"$CHANGES_BEFORE"
    read -ra after <<<"$(routes_seen)"
    changes=$((after[0] - before[0]))
    [ $((after[1] - before[1])) -gt "$changes" ] && changes=$((after[1] - before[1]))
    # A request has a second to be answered.
    sleep 1.1
    eval "$("$TRAFFIC" judge "$RUN/requests" "$FROM" "$to")"
}

# expect SCENARIO MS SITE CHANGES [REMARK]: the outage is over within MS (0: no request is lost), clients
# are then answered by SITE, and the routers of the sites saw at most so many route changes.
expect() {
    local name=$1 limit=$2 site=$3 wanted=$4 remark=${5:-} verdict=ok
    if [ "$limit" = 0 ]; then
        nothing_lost || verdict=FAILED
    else
        [ "$outage" -le $((limit + SLACK)) ] || verdict=FAILED
    fi
    [ "$last" = "$site" ] || verdict=FAILED
    [ "$changes" -le "$wanted" ] || verdict=FAILED
    report "$name" "$outage" "$verdict" "$remark"
}

# Where slack is allowed, the machine does other things too, and one request in fifty may go late.
nothing_lost() {
    [ "$lost" = 0 ] || { [ "$SLACK" -gt 0 ] && [ $((lost * 50)) -le "$total" ]; }
}

report() {
    local name=$1 time=$2 verdict=$3 remark=$4
    [ "$last" = lost ] && time=never
    printf 'result\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$FAMILY" "$DIRECTOR" "$time" \
        "$lost" "$total" "$changes" "$verdict" "$remark (lost $lost_by, met $last)"
    # The original is measured; only ours has to be right.
    [ "$verdict" = ok ] || [ "$DIRECTOR" = original ]
}

# Real servers that ip_vs lists for the web address of a load balancer, with a weight.
listed() {
    net_exec "$1" ipvsadm -Ln | awk '/^[A-Z]/ { web = /:80 / } web && /->/ && $4 > 0' | grep -c Route
}
listed_are() { [ "$(listed "$1")" = "$2" ]; }

one_left() {
    servers_kill rs12
    net_wait 30 listed_are lb1a 1
    sleep 2
}

scenario_last_refused() {
    one_left
    begin
    servers_kill rs11
    observe 6
    expect last_refused 2000 2 1
    local status=$?
    scenario_returns || status=1
    servers_start rs12
    return $status
}

# The last server is back (see last_refused): clients lose nothing, and the site is there again.
scenario_returns() {
    begin
    servers_start rs11
    observe 6
    local verdict=ok
    nothing_lost && [ "$last" = 1 ] && [ "$changes" -le 1 ] && [ "${first1:-99999}" -le $((2000 + SLACK)) ] ||
        verdict=FAILED
    report returns "${first1:-never}" "$verdict" "time until the site answers again"
}

scenario_last_silent() {
    one_left
    begin
    cut_off rs11
    observe 8
    expect last_silent 3000 2 1
    local status=$?
    plug_in rs11
    servers_start rs12
    return $status
}

scenario_one_of_two() {
    begin
    servers_kill rs12
    observe 6
    expect one_of_two 2000 1 0 "half of the requests until the check"
    local status=$?
    servers_start rs12
    net_wait 30 listed_are lb1a 2
    return $status
}

scenario_bgpd_stop() {
    begin
    routing_stop lb1a bgpd
    observe 4
    expect bgpd_stop 1000 2 1
    local status=$?
    routing_daemon lb1a bgpd
    return $status
}

scenario_director_stop() {
    begin
    director lb1a stop
    observe 6
    expect director_stop 1000 2 1 "fallbackcommandonstop=yes"
    local status=$?
    director lb1a start
    return $status
}

scenario_director_restart() {
    begin
    director lb1a restart
    observe 8
    expect director_restart 0 1 0 "handed over"
}

scenario_director_killed() {
    begin
    director_kill lb1a
    observe 5
    expect director_killed 0 1 0
    local status=$?
    begin
    director lb1a start
    observe 6
    expect director_back 0 1 0 "started again over the table it left" || status=1
    return $status
}

scenario_killed_while_dying() {
    one_left
    director_kill lb1a
    servers_kill rs11
    sleep 1
    begin
    director lb1a start
    observe 7
    expect killed_while_dying 2000 2 1 "from the director's next start"
    local status=$?
    servers_start rs11 rs12
    return $status
}

# Nobody starts the director again: the guard bounds how long the site is a black hole.
scenario_guarded() {
    [ "$DIRECTOR" = ours ] || return 0
    one_left
    guard_start lb1a
    sleep 1
    director_kill lb1a
    begin
    servers_kill rs11
    observe 9
    expect guarded 5000 2 1 "ldirectord-anycast guard --lease 3, from the death of director and server"
    local status=$?
    servers_start rs11 rs12
    director lb1a start
    net_wait 30 ready || status=1
    kill "$GUARD"
    return $status
}

scenario_reload() {
    begin
    director lb1a reload
    observe 5
    expect reload 0 1 0
}

scenario_power() {
    local limit=30000 watch=36
    [ "$BFD" = yes ] && limit=1000 watch=5
    begin
    cut_off r1
    observe "$watch"
    # What the site's own router sees does not count: it has no power.
    changes=0
    if [ "$BFD" = yes ]; then
        expect power_bfd "$limit" 2 0 "BFD, 3 x 200 ms"
    else
        expect power "$limit" 2 0 "dead timer"
    fi
    local status=$?
    plug_in r1
    return $status
}

scenario_flapping() {
    local before=${EXTRA:-} status
    EXTRA="fallbackholddown=5"
    [ "$DIRECTOR" = ours ] && director_configuration lb1a >"$RUN/etc/lb1a.cf" && director lb1a reload
    EXTRA=$before
    one_left
    begin
    for _ in 1 2 3 4 5 6 7 8; do
        servers_kill rs11
        sleep 1
        servers_start rs11
        sleep 1
    done
    observe 1
    expect flapping 4000 2 1 "fallbackholddown=5; 8 times down and up within 16 s"
    status=$?
    servers_start rs12
    director_configuration lb1a >"$RUN/etc/lb1a.cf"
    director lb1a reload
    return $status
}

# half MACHINE -I|-D: DNS over TCP is refused, or not any more.
half() {
    local program=iptables-legacy
    [ "$FAMILY" = 4 ] || program=ip6tables-legacy
    net_exec "$1" $program "$2" INPUT -p tcp --dport 53 -j REJECT --reject-with tcp-reset
}

# DNS over TCP dies on both servers while DNS over UDP lives: one address, so both go (--policy all), and the
# web stays.
scenario_half_a_service() {
    local machine status
    begin
    for machine in rs11 rs12; do
        half "$machine" -I || return
    done
    observe 6
    local verdict=ok
    [ "$outage" -le $((2000 + SLACK)) ] && [ "$last" = 1+2 ] && [ "$changes" -le 1 ] || verdict=FAILED
    report half_a_service "$outage" "$verdict" "DNS over TCP dies: the DNS address goes, the web address stays"
    status=$?
    for machine in rs11 rs12; do
        half "$machine" -D
    done
    return $status
}

# A service with an address that is not anycast: the hook refuses it, and where the hook is bypassed, the router.
scenario_outside() {
    local verdict=ok
    begin
    {
        director_configuration lb1a
        printf 'virtual=192.0.2.99:80\n\treal=10.10.1.21:80 gate\n\tprotocol=tcp\n\tchecktype=connect\n'
    } >"$RUN/etc/lb1a.cf"
    director lb1a reload
    sleep 4
    ip -n lb1a address show | grep -q 192.0.2.99 && verdict=FAILED
    grep -q '192.0.2.99:80.*failed\|failed.*192.0.2.99:80\|192.0.2.99.*outside' "$RUN/lb1a.log" || verdict=FAILED

    ip -n lb1a address add 192.0.2.99/32 dev anycast0
    ip -n lb1a address add 2001:db8:99::1/128 dev anycast0 nodad
    # A filter that lets everything through, in the place of the load balancer's own.
    vtysh -N lb1a -c 'conf t' -c 'route-map ALL permit 10' -c 'router bgp 65011' \
        -c 'address-family ipv4 unicast' -c 'redistribute connected route-map ALL' \
        -c 'neighbor 10.10.1.1 route-map ALL out' -c exit \
        -c 'address-family ipv6 unicast' -c 'redistribute connected route-map ALL' \
        -c 'neighbor fd00:10:1::1 route-map ALL out' >"$RUN/vtysh" 2>&1 || verdict=FAILED
    observe 4
    vtysh -N lb1a -c 'show bgp ipv4 unicast neighbors 10.10.1.1 advertised-routes' | grep -q 192.0.2.99 ||
        { say "the bypass does not work"; verdict=FAILED; }
    [ -z "$(ip -n r1 route show 192.0.2.99)" ] || verdict=FAILED
    [ -z "$(ip -n r1 -6 route show 2001:db8:99::1)" ] || verdict=FAILED
    [ "$last" = 1 ] || verdict=FAILED
    report outside "$outage" "$verdict" "refused by the hook; by the router when bypassed"
    local status=$?

    ip -n lb1a address del 192.0.2.99/32 dev anycast0
    ip -n lb1a address del 2001:db8:99::1/128 dev anycast0
    director_configuration lb1a >"$RUN/etc/lb1a.cf"
    director lb1a reload
    routing_stop lb1a bgpd
    net_wait 10 gone "$(cat /run/frr/lb1a/bgpd.pid)"
    routing_daemon lb1a bgpd
    return $status
}
gone() { ! kill -0 "$1" 2>/dev/null; }

# The same as last_refused with BIRD in the place of FRR.
scenario_bird() {
    local daemon status=0
    for daemon in bgpd zebra; do
        routing_stop lb1a "$daemon"
        net_wait 10 gone "$(cat "/run/frr/lb1a/$daemon.pid")"
    done
    [ "$BFD" = yes ] && routing_stop lb1a bfdd
    for_machine lb1a <"$EXAMPLE/load-balancer/bird.conf" |
        if [ "$BFD" = yes ]; then cat; else sed 's/bfd on;//; /^protocol bfd/,$d'; fi >"$RUN/bird.conf"
    net_exec lb1a bird -c "$RUN/bird.conf" -s "$RUN/bird.ctl" -P "$RUN/bird.pid" &&
        net_wait 60 ready || { say "BIRD does not announce"; status=1; }
    one_left
    begin
    servers_kill rs11
    observe 6
    expect bird 2000 2 1 "BIRD announces" || status=1
    servers_start rs11 rs12
    net_wait 30 ready || status=1
    kill "$(cat "$RUN/bird.pid")"
    routing_start lb1a
    return $status
}

# The demonstration: who answers, live, while things break.
live() {
    local step
    ip netns exec client "$TRAFFIC" watch "$DNS" "$WEB" &
    step() {
        echo
        echo "== $*"
    }
    step "both sites are healthy; the network prefers site 1"
    sleep 4
    step "site 1: one of two real servers dies"
    servers_kill rs12
    sleep 4
    step "site 1: the last real server dies"
    servers_kill rs11
    sleep 6
    step "site 1: a real server is back"
    servers_start rs11
    sleep 5
    step "site 1: bgpd is stopped"
    routing_stop lb1a bgpd
    sleep 4
    step "site 1: bgpd is started"
    routing_daemon lb1a bgpd
    sleep 8
    step "site 1 has no power (BFD $BFD)"
    cut_off r1
    sleep 5
    step "site 1 has power again"
    plug_in r1
    sleep 10
    step "what the load balancer of site 1 knows"
    net_exec lb1a "$HOOK" --state-dir /run/anycast/lb1a.state status
    kill $!
}
