# Debian's ldirectord 1:4.12.0-2, Linux 6.1.176
== 1 ldirectord ldirectord.cf start
exit:
    0
== 2 settle
log:
    ldirectord.cf: Invoking ldirectord invoked as: /usr/sbin/ldirectord ldirectord.cf start 
    ldirectord.cf: Starting Linux Director v1.186-ha as daemon
    ldirectord.cf: Added virtual server: 10.0.0.1:80
    ldirectord.cf: Added fallback server: 127.0.0.9:80 (10.0.0.1:80) (Weight set to 1)
    ldirectord.cf: Added real server: 127.0.0.2:80 (10.0.0.1:80) (Weight set to 1)
    ldirectord.cf: Deleted fallback server: 127.0.0.9:80 (10.0.0.1:80)
    ldirectord.cf: Deleted real server: 127.0.0.2:80 (10.0.0.1:80)
    ldirectord.cf: Added fallback server: 127.0.0.9:80 (10.0.0.1:80) (Weight set to 1)
    ldirectord.cf: Resetting soft failure count: 127.0.0.2:80 (tcp:10.0.0.1:80)
    ldirectord.cf: Added real server: 127.0.0.2:80 (10.0.0.1:80) (Weight set to 1)
    ldirectord.cf: Deleted fallback server: 127.0.0.9:80 (10.0.0.1:80)
pid:
    ldirectord.ldirectord.cf.pid running
table:
    -A -t 10.0.0.1:80 -s wrr
    -a -t 10.0.0.1:80 -r 127.0.0.2:80 -m -w 1
== 3 settle hold=2.5
log:
    ldirectord.cf: Deleted real server: 127.0.0.2:80 (10.0.0.1:80)
    ldirectord.cf: Added fallback server: 127.0.0.9:80 (10.0.0.1:80) (Weight set to 1)
pid:
    ldirectord.ldirectord.cf.pid running
table:
    -A -t 10.0.0.1:80 -s wrr
    -a -t 10.0.0.1:80 -r 127.0.0.9:80 -m -w 1
== 4 settle
log:
    ldirectord.cf: Resetting soft failure count: 127.0.0.2:80 (tcp:10.0.0.1:80)
    ldirectord.cf: Added real server: 127.0.0.2:80 (10.0.0.1:80) (Weight set to 1)
    ldirectord.cf: Deleted fallback server: 127.0.0.9:80 (10.0.0.1:80)
pid:
    ldirectord.ldirectord.cf.pid running
table:
    -A -t 10.0.0.1:80 -s wrr
    -a -t 10.0.0.1:80 -r 127.0.0.2:80 -m -w 1
