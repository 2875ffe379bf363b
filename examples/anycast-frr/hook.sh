#!/bin/sh
# The fallback command in one glance, for one service per address:
#
#   fallbackcommand = "/etc/ha.d/hook.sh"
#
# called as: hook.sh start|stop VIP:PORT PROTOCOL. `start` means that the fallback is needed, since no real
# server is left: the address goes. `stop` means that one is back: the address comes.
# /usr/sbin/ldirectord-anycast does the same with several services on one address, any subnet, a lock, and a
# look at the result.

interface=anycast0

address=${2%:*}                        # without the port
address=${address#\[}                  # IPv6 comes in brackets
address=${address%\]}

case $address in                       # never take over address space that is not anycast
    198.51.100.*)    prefix=32 ;;
    2001:db8:53::*)  prefix=128 ;;
    *)  echo "hook.sh: refused $address: not an anycast address" >&2; exit 2 ;;
esac

case $1 in
    stop)   exec ip address replace "$address/$prefix" dev "$interface" nodad ;;
    start)  ip -o address show dev "$interface" | grep -qwF "$address/$prefix" || exit 0
            exec ip address delete "$address/$prefix" dev "$interface" ;;
    *)      echo "hook.sh: expected start or stop, not '$1'" >&2; exit 2 ;;
esac
