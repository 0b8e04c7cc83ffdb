#!/bin/sh
# Makes a small mail server of a new Debian, as an administrator and a provider do
# before spamdrop is installed. The mail server asks a blocklist that lists
# 198.51.100.66.
#
# usage: server.sh SERVER TREE
set -eu

server=$1 tree=$2
cd "$tree"

echo mx1 >etc/hostname
echo nameserver 127.0.0.1 >etc/resolv.conf
printf '127.0.0.1 localhost\n192.0.2.25 mx1.here.example mx1\n' >etc/hosts
# Without this file, the machine would have another id after each boot.
echo 0123456789abcdef0123456789abcdef >etc/machine-id

# Each server accepts mail to b@here.example. common.sh reads etc/server.

postfix() {
    unit=postfix.service
    cat >>etc/postfix/main.cf <<'END'
myhostname = mx1.here.example
mydestination = here.example
inet_protocols = ipv4
local_recipient_maps =
local_transport = discard:
smtpd_recipient_restrictions = reject_unauth_destination, reject_rbl_client zone.example
END
    cat >etc/server <<'END'
SERVER=postfix NAME=Postfix PACKAGE=postfix
REJECTION='554 5.7.1 Service unavailable; Client host [198.51.100.66] blocked'
ACCEPTANCE='250 2.1.5 Ok'
END
}

courier() {
    unit=courier-mta.service
    # No name server here knows the domain of the sender.
    sed -i -e 's/^TARPIT=.*/TARPIT=0/' -e 's/^BOFHCHECKDNS=.*/BOFHCHECKDNS=0/' \
        -e 's/^BLACKLISTS=.*/BLACKLISTS="-block=zone.example,BLOCK,*"/' etc/courier/esmtpd
    echo mx1.here.example >etc/courier/me
    for file in defaultdomain locals esmtpacceptmailfor.dir/default; do
        echo here.example >"etc/courier/$file"
    done
    echo 'b@here.example: postmaster@here.example' >>etc/courier/aliases/system
    for make in makesmtpaccess makeacceptmailfor makealiases; do
        chroot "$tree" $make
    done
    cat >etc/server <<'END'
SERVER=courier NAME=Courier PACKAGE=courier-mta
REJECTION='511 Blacklisted by zone.example'
ACCEPTANCE='250 Ok.'
END
}

exim() {
    unit=exim4.service
    sed -i -e "s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='internet'/" \
        -e "s/^dc_other_hostnames=.*/dc_other_hostnames='here.example'/" \
        -e "s/^dc_local_interfaces=.*/dc_local_interfaces=''/" etc/exim4/update-exim4.conf.conf
    echo mx1.here.example >etc/mailname
    echo 'b: :blackhole:' >>etc/aliases
    # Debian's configuration of Exim includes this file in the rules for recipients.
    echo 'CHECK_RCPT_LOCAL_ACL_FILE = CONFDIR/local_rcpt' >etc/exim4/exim4.conf.localmacros
    cat >etc/exim4/local_rcpt <<'END'
  deny
    message = rejected because $sender_host_address is in a black list at $dnslist_domain\n$dnslist_text
    dnslists = zone.example
END
    cat >etc/server <<'END'
SERVER=exim NAME=Exim PACKAGE=exim4-daemon-light
REJECTION='rejected because 198.51.100.66 is in a black list at zone.example'
ACCEPTANCE='250 Accepted'
END
}

$server

mkdir -p etc/blocklist
cat >etc/blocklist/zone <<'END'
:127.0.0.2:Blacklisted by zone.example
127.0.0.2
198.51.100.66
# The senders of cuts.sh.
198.18.0.0/15
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
ExecStart=ip address add 192.0.2.26/24 dev eth0
ExecStart=ip link set eth0 up
ExecStart=ip route add default via 192.0.2.1
[Install]
WantedBy=multi-user.target
END

cat >etc/systemd/system/test.service <<END
[Unit]
Description=The test
After=lan.service blocklist.service $unit multi-user.target
[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStart=sh /job/test.sh
[Install]
WantedBy=graphical.target
END

chroot "$tree" systemctl --quiet enable lan.service blocklist.service test.service $unit
# Remove and mask what only takes time here: apt would read its lists at each
# installation.
rm -rf var/lib/apt/lists var/cache/apt/*.bin
chroot "$tree" systemctl --quiet mask rbldnsd.service rbldnsd.socket apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
    getty@tty1.service serial-getty@ttyS0.service systemd-pstore.service
