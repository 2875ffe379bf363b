# shellcheck shell=bash
# Shell library: two directors with one address, a server behind them, and clients with a hundred connections; and how a
# script counts. Source it after net.sh.

pair_server='
import socket, threading
def echo(c):
    try:
        while True:
            b = c.recv(64)
            if not b: return
            if b.startswith(b"GET"):
                c.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK")
                return c.close()
            c.sendall(b)
    except OSError: pass
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 80)); s.listen(500)
while True:
    c, _ = s.accept()
    threading.Thread(target=echo, args=(c,), daemon=True).start()
'

# A hundred connections with a byte each tenth of a second: the first file says that they stand, the second ends them;
# told is how many are lost.
pair_clients='
import os, socket, sys, time
all = []
for _ in range(100):
    s = socket.create_connection(("192.0.2.1", 80), 10); s.settimeout(20); all.append(s)
def round():
    lost = []
    for s in all:
        try: s.sendall(b"x")
        except OSError: lost.append(s)
    for s in all:
        if s in lost: continue
        try:
            if not s.recv(1): lost.append(s)
        except OSError: lost.append(s)
    for s in lost: all.remove(s)
for _ in range(20): round(); time.sleep(0.1)
open(sys.argv[1], "w").close()
while not os.path.exists(sys.argv[2]): round(); time.sleep(0.1)
for _ in range(10): round(); time.sleep(0.1)
print(100 - len(all))
'

# client, d1, d2 and rs on one network; a link between the directors; the server in rs, which has the address, too.
pair_network() {
    net_ns client d1 d2 rs || return
    net_bridge client br0 10.0.2.2/24 || return
    net_port client br0 d1 e0 10.0.2.251/24 && net_port client br0 d2 e0 10.0.2.252/24 || return
    net_port client br0 rs e0 10.0.2.11/24 || return
    net_link d1 peer 10.5.0.1/24 d2 peer 10.5.0.2/24 || return
    net_dummy rs vip0 192.0.2.1/32 || return
    net_exec rs python3 -c "$pair_server" &
}

# pair_lost COMMAND…: how many of a hundred connections are lost while it runs, in $lost.
pair_lost() {
    local work status=0
    work=$(mktemp -d)
    net_exec client python3 -c "$pair_clients" "$work/stand" "$work/over" >"$work/lost" &
    net_wait 60 [ -e "$work/stand" ] || status=1
    "$@" || status=1
    touch "$work/over"
    wait $! || status=1
    lost=$(cat "$work/lost")
    rm -rf "$work"
    return $status
}

# check SENTENCE COMMAND…; the output only if it fails.
check() {
    local sentence=$1 output
    shift
    if output=$("$@" 2>&1 </dev/null); then
        passed=$((passed + 1))
        echo "ok      $sentence"
    else
        failed=$((failed + 1))
        echo "FAILED  $sentence"
        printf '%s\n' "$output" | sed 's/^/        /'
    fi
}
