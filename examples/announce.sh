#!/bin/sh
# A fallback command that only writes down how it was called.
#
#   announce.sh start 192.0.2.1:80 tcp    the last real server of the service has died
#   announce.sh stop  192.0.2.1:80 tcp    a real server of the service is up again
#
# A real one would withdraw an announced address on start, and announce it on stop.

set -eu
: "${ANNOUNCE_LOG:=/tmp/ldirectord-announce.log}"
echo "$(date +%T) $*" >>"$ANNOUNCE_LOG"
