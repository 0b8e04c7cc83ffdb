#!/bin/sh
# Makes a small mail server of a new Debian with Postfix: what its administrator
# and its provider did before spamdrop is installed. Postfix asks a blocklist that
# lists 198.51.100.66.
#
# usage: server.sh TREE
set -eu

tree=$1
cd "$tree"

echo mx1 >etc/hostname
echo nameserver 127.0.0.1 >etc/resolv.conf
printf '127.0.0.1 localhost\n192.0.2.25 mx1.here.example mx1\n' >etc/hosts
# Otherwise each start of the machine has another id.
echo 0123456789abcdef0123456789abcdef >etc/machine-id

cat >>etc/postfix/main.cf <<'END'
myhostname = mx1.here.example
mydestination = here.example
inet_protocols = ipv4
local_recipient_maps =
local_transport = discard:
smtpd_recipient_restrictions = reject_unauth_destination, reject_rbl_client zone.example
END

mkdir -p etc/blocklist
cat >etc/blocklist/zone <<'END'
:127.0.0.2:Blacklisted by zone.example
127.0.0.2
198.51.100.66
END

cat >etc/systemd/system/blocklist.service <<'END'
[Unit]
Description=Blocklist zone.example
[Service]
ExecStart=/usr/sbin/rbldnsd -n -b 127.0.0.1/53 zone.example:ip4set:/etc/blocklist/zone
[Install]
WantedBy=multi-user.target
END

# The card eth0 is the server's. eth1 is the sender's, which is in a network
# namespace of its own.
cat >etc/systemd/system/lan.service <<'END'
[Unit]
Description=The network, and a sender
DefaultDependencies=no
Before=network.target shutdown.target
Wants=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=modprobe virtio_net
ExecStart=ip netns add world
ExecStart=ip link set eth1 netns world
ExecStart=ip -n world address add 192.0.2.1/24 dev eth1
ExecStart=ip -n world address add 198.51.100.66/32 dev eth1
ExecStart=ip -n world address add 198.51.100.77/32 dev eth1
ExecStart=ip -n world link set lo up
ExecStart=ip -n world link set eth1 up
ExecStart=ip address add 192.0.2.25/24 dev eth0
ExecStart=ip link set eth0 up
ExecStart=ip route add default via 192.0.2.1
[Install]
WantedBy=multi-user.target
END

cat >etc/systemd/system/test.service <<'END'
[Unit]
Description=The test
After=lan.service blocklist.service postfix.service multi-user.target
[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStart=sh /job/test.sh
[Install]
WantedBy=graphical.target
END

chroot "$tree" systemctl --quiet enable lan.service blocklist.service test.service postfix.service
# What only takes time here.
chroot "$tree" systemctl --quiet mask rbldnsd.service rbldnsd.socket apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
    getty@tty1.service serial-getty@ttyS0.service systemd-pstore.service
