# Prepares the files, the blocklist and the syslog for a mail server of Debian. It runs
# as root, in a network namespace of the test, and in mount and process namespaces of its
# own. What it mounts and starts vanishes with them, and what it writes is in a /run of
# the test and in SITE. The server's own script follows.
#
# TREE is the directory of the unpacked packages. SERVER is that of the mail server's
# packages if they are unpacked apart, or else empty. /run/zones has the zone files.
# SITE is the directory that gets `mail.log`. If UNIT is not empty, the server logs to
# journald instead; UNIT is then the file that moves a process to the control group of
# the server's unit. With AS_INSTALLED=1, the server has the configuration that its
# package installs.
set -eu

# The overlays below do not hide these paths, and the paths contain no character that
# separates options of mount.
mkdir /run/tree /run/server /run/site
mount --bind "$TREE" /run/tree
[ -z "$SERVER" ] || mount --bind "$SERVER" /run/server
mount --bind "$SITE" /run/site

# Overlays the packages' files on the machine's files, which do not change.
layers=/run/layers
mkdir $layers
for directory in etc usr var; do
    mkdir $layers/$directory $layers/$directory.work
    above=
    [ ! -d /run/server/$directory ] || above=/run/server/$directory:
    mount -t overlay overlay /$directory -o \
"lowerdir=$above/run/tree/$directory:/$directory,upperdir=$layers/$directory,workdir=$layers/$directory.work"
done

# fresh NAME DIRECTORY: makes /DIRECTORY a copy of /run/NAME/DIRECTORY alone, without
# the machine's files: the machine may run such a server, with settings and a queue.
fresh() {
    mkdir -p $layers/fresh
    rm -rf $layers/fresh/*
    [ ! -d "/run/$1/$2" ] || cp -a "/run/$1/$2/." $layers/fresh
    mkdir -p "/$2"
    mount -t tmpfs tmpfs "/$2"
    cp -a $layers/fresh/. "/$2"
}

# Hides the logs of the machine's own mail server.
rm -f /var/log/mail.log /var/log/maillog

# A private /dev, because /dev/log becomes the socket of the rsyslogd or journald below.
mkdir $layers/dev
mount -t tmpfs tmpfs $layers/dev
for node in null zero full random urandom tty; do
    touch $layers/dev/$node
    mount --bind /dev/$node $layers/dev/$node
done
mount --move $layers/dev /dev

# add_user NAME ID HOME: adds an account with a group, as the packages' scripts do when
# the packages are installed.
add_user() {
    grep -q "^$1:" /etc/group || echo "$1:x:$2:" >>/etc/group
    grep -q "^$1:" /etc/passwd || echo "$1:x:$2:$2::$3:/bin/sh" >>/etc/passwd
}

# The account that spamdrop's package makes, in the groups that may read the logs
# and the journal.
add_user spamdrop 64993 /nonexistent
sed -i -E 's/^(adm|systemd-journal):.*[^:]$/&,spamdrop/; s/^(adm|systemd-journal):.*:$/&spamdrop/' /etc/group

# The mailbox of postbox@here.example.
add_user postbox 64991 /run/postbox
install -d -o postbox -g postbox /run/postbox
for directory in Maildir Maildir/cur Maildir/new Maildir/tmp; do
    install -d -o postbox -g postbox -m 700 /run/postbox/$directory
done

rm -f /etc/resolv.conf
echo nameserver 127.0.0.1 >/etc/resolv.conf
rbldnsd -n -q -c 1 -u nobody -w /run/zones -b 127.0.0.1/53 \
    zone.example:ip4set:ip4 zone.example:ip6trie:ip6 \
    friend.example:generic:names zombie.example:generic:names &

if [ -n "$UNIT" ]; then
    ln -s /run/systemd/journal/dev-log /dev/log
    # Moves this shell, which starts the server, to the unit's control group.
    echo 0 >"$UNIT"
else
    cat >/run/rsyslog.conf <<END
module(load="imuxsock" SysSock.Name="/dev/log")
mail.* action(type="omfile" file="/run/site/mail.log")
END
    rsyslogd -n -f /run/rsyslog.conf -i /run/rsyslog.pid &
    until [ -S /dev/log ]; do sleep 0.02; done
fi

# Waits until the server listens, reports that, and sleeps until it is killed.
stand() {
    until ss -Hltn sport = :25 | grep -q .; do sleep 0.02; done
    echo ready
    exec sleep infinity
}

