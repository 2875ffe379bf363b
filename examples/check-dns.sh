#!/bin/sh
# An external check: exit status 0 says that the real server is up.
#
#   check-dns.sh VIP VPORT RIP RPORT
#
# It has checktimeout seconds; then it is ended, with all that it has started.

exec dig +time=2 +tries=1 +short -p "$4" "@$3" www.example.com A | grep -q '^192\.0\.2\.'
