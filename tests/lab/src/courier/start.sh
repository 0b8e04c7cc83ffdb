# Starts Debian's courier-mta, rbldnsd and rsyslog for one test, as root in
# network, mount and process namespaces of its own: what it writes and starts
# vanishes with it.
#
# TREE holds the unpacked packages, /run/zones the zone files. SITE gets
# `mail.log` and a copy of Courier's configuration, for `config check`. TARPIT
# and MAXDAEMONS are those of Courier's `esmtpd`.
set -eu

# Under names that no overlay hides and no option of mount splits.
mkdir /run/tree /run/site
mount --bind "$TREE" /run/tree
mount --bind "$SITE" /run/site

# The packages' files, over the machine's, which stay as they are.
layers=/run/layers
mkdir $layers
for directory in etc usr var; do
    mkdir $layers/$directory $layers/$directory.work
    mount -t overlay overlay /$directory -o \
"lowerdir=/run/tree/$directory:/$directory,upperdir=$layers/$directory,workdir=$layers/$directory.work"
done
# A machine that runs Courier itself: nothing of its settings, nor of its queue.
for directory in etc/courier var/lib/courier; do
    mkdir -p $layers/fresh
    rm -rf $layers/fresh/*
    cp -a /run/tree/$directory/. $layers/fresh
    mount -t tmpfs tmpfs /$directory
    cp -a $layers/fresh/. /$directory
done
# /dev/log is the socket of this rsyslogd.
mkdir $layers/dev
mount -t tmpfs tmpfs $layers/dev
for node in null zero full random urandom tty; do
    touch $layers/dev/$node
    mount --bind /dev/$node $layers/dev/$node
done
mount --move $layers/dev /dev

# What the packages' scripts do when they are installed.
add_user() {
    grep -q "^$1:" /etc/group || echo "$1:x:$2:" >>/etc/group
    grep -q "^$1:" /etc/passwd || echo "$1:x:$2:$2::$3:/bin/sh" >>/etc/passwd
}
add_user courier 64990 /var/lib/courier
add_user postbox 64991 /run/postbox
chown -R root:root /etc/courier
cd /var/lib/courier
chown -R courier:courier .
chmod 750 . allfilters filters msgq msgs track
chmod 770 tmp
cd /etc/courier
chgrp -R courier aliasdir aliases esmtpauthclient
chmod 640 esmtpauthclient
chown root:courier /usr/sbin/sendmail
chmod 2755 /usr/sbin/sendmail
chown courier:courier /usr/lib/courier/courier/submitmkdir
chmod 4755 /usr/lib/courier/courier/submitmkdir
ln -sf makedat.courier /usr/bin/makedat
install -d -g courier -m 775 /run/courier
install -d -o courier -g courier -m 750 /run/courier/authdaemon

# What its administrator sets.
echo mx.here.example >me
echo here.example | tee defaultdomain locals esmtpacceptmailfor.dir/default >/dev/null
echo postmaster@here.example >dsnfrom
sed -i -e "s/^TARPIT=.*/TARPIT=$TARPIT/" -e "s/^MAXDAEMONS=.*/MAXDAEMONS=$MAXDAEMONS/" \
    -e 's/^BLACKLISTS=.*/BLACKLISTS="-block=zone.example,BLOCK,*"/' esmtpd
echo "there.example:[100.64.1.1]" >esmtproutes
echo "forward@here.example: friend@there.example" >>aliases/system
cp -r /etc/courier /run/site/courier
install -d -o postbox -g postbox /run/postbox
for directory in Maildir Maildir/cur Maildir/new Maildir/tmp; do
    install -d -o postbox -g postbox -m 700 /run/postbox/$directory
done
makesmtpaccess
makeacceptmailfor
makealiases

rm -f /etc/resolv.conf
echo nameserver 127.0.0.1 >/etc/resolv.conf
rbldnsd -n -q -c 1 -u nobody -w /run/zones -b 127.0.0.1/53 \
    zone.example:ip4set:ip4 zone.example:ip6trie:ip6 \
    friend.example:generic:names zombie.example:generic:names &

cat >/run/rsyslog.conf <<END
module(load="imuxsock" SysSock.Name="/dev/log")
# For those outside of these namespaces.
input(type="imuxsock" Socket="/run/site/devlog")
mail.* action(type="omfile" file="/run/site/mail.log")
END
rsyslogd -n -f /run/rsyslog.conf -i /run/rsyslog.pid &
until [ -S /dev/log ]; do sleep 0.02; done

authdaemond start
courier start
esmtpd start
until ss -Hltn sport = :25 | grep -q .; do sleep 0.02; done
echo ready
exec sleep infinity
