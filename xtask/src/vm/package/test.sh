# Installs the package on a mail server, reboots, upgrades, removes and purges
# it, and checks after each step what a listed and a clean sender see. The last line
# counts the checks.
set -u
. /job/common.sh

# usage: step SEEN FUNCTION - runs the function. If no check in it fails, the cell
# of the guide's table says SEEN: what happens to the packets of a listed sender.
step() {
    before_step=$(wc -l <failed)
    $2
    if test "$(wc -l <failed)" = "$before_step"; then
        printf ' %s |' "$1" >>row
    else
        printf ' failed |' >>row
    fi
}

begin_row() {
    debian=$(cat /etc/debian_version)
    release=$(uname -r)
    version=$(dpkg-query -W -f '${source:Upstream-Version}' $PACKAGE)
    echo "Debian $debian, Linux $release, $NAME $version"
    minor='s/^\([0-9]*\.[0-9]*\).*/\1/'
    printf '| Debian %s | %s | %s %s |' "${debian%%.*}" "$(echo "$release" | sed "$minor")" \
        $NAME "$(echo "$version" | sed "$minor")" >row
}

first_boot() {
    touch passed failed
    begin_row
    step dropped three_commands
    touch rebooted
    echo "reboot at $(uptime) s"
    # systemctl complains that there is no dbus.
    systemctl reboot 2>/dev/null
}

second_boot() {
    echo "rebooted: $(uptime) s"
    step dropped reboot
    reload
    step dropped upgrade
    step dropped remove
    step answered purge
    without_daemon
    check "the guide has this row: $(cat row)" grep -xF "$(cat row)" /job/install.md
}

three_commands() {
    start=$(uptime)
    echo "three commands: start at $start s after the boot"
    check "the package installs, and tells the next steps" \
        says "systemctl enable --now spamdrop" install /job/1/spamdrop.deb
    echo "installed: $(uptime) s"
    check "the maintainer scripts complain of nothing" not grep -i "failed\|warning\|error" said
    check "the daemon is not started without a configuration" not systemctl is-active spamdrop
    check "systemd takes the unit" prints_nothing systemd-analyze verify --man=no spamdrop.service
    check "setup writes a configuration" spamdrop setup --write
    echo "configured: $(uptime) s"
    check "the service starts" systemctl enable --now spamdrop
    echo "three commands: done at $(uptime) s"
    check "the three commands take at most two minutes" test "$(uptime)" -le $((start + 120))
    check "a clean sender is accepted" accepted
    check "a listed sender is rejected the first time" rejected
    check "it is blocked then" within 5 is_listed
    check "its second connection gets no answer" silent
    check "its address is completed" \
        says "$LISTED" env SPAMDROP_COMPLETE=fish spamdrop -- spamdrop remove 198
    check "a clean sender is accepted beside" accepted
    check "the status is healthy" protects
    end_of_block >end
    cp /etc/spamdrop/spamdrop.toml .
}

reboot() {
    check "the daemon runs after a reboot" systemctl is-active spamdrop
    check "the block ends no later than before the reboot" test "$(end_of_block)" -le $(($(cat end) + 1))
    check "the listed sender gets no answer after a reboot" silent
    check "a clean sender is accepted after a reboot" accepted
    check "the status is healthy after a reboot" protects
    check "the mail server that starts after the daemon is no warning" \
        omits "nothing listens" daemon_log --boot
}

reload() {
    echo 'ttl = "11m"' >>/etc/spamdrop/spamdrop.toml
    check "a reload says what has changed" says "changed: ttl" spamdrop reload
    echo 'nonsense = 1' >>/etc/spamdrop/spamdrop.toml
    check "systemd's reload fails with a wrong configuration" fails_with "Job for spamdrop.service failed" systemctl reload spamdrop
    sed -i '$d' /etc/spamdrop/spamdrop.toml
    sed -i '$d' /etc/spamdrop/spamdrop.toml
    check "systemd's reload succeeds with a right one" systemctl reload spamdrop
    check "the journal has what has changed, twice" \
        test "$(daemon_log --boot | grep -c "configuration read again; changed: ttl")" = 2
    check "the status is healthy after the reloads" protects
}

upgrade() {
    make_wave
    upgrade_to /job/2/spamdrop.deb
    spamdrop remove 203.0.113.1 203.0.113.128/25 2001:db8::1 >/dev/null
    check "the status is healthy after the upgrade" protects
    before=$(daemon)
    echo 'nonsense = 1' >>/etc/spamdrop/spamdrop.toml
    check "an upgrade succeeds with a wrong configuration" \
        says "the daemon of the old version goes on" install /job/1/spamdrop.deb --allow-downgrades
    sed -i '$d' /etc/spamdrop/spamdrop.toml
    check "the daemon of before goes on" test "$(daemon)" = "$before"
    check "a clean sender is accepted after the upgrades" accepted
}

remove() {
    check "the package is removed, and tells how to detach" \
        says "rm -r /sys/fs/bpf/spamdrop" apt-get -q -y remove spamdrop
    echo "removed: $(uptime) s"
    check "the daemon has ended" not pidof spamdrop
    check "the filter stays" is_attached
    check "blocks stay" silent
    check "a clean sender is accepted without the package" accepted
    check "the state stays" test -e /var/lib/spamdrop/spamdrop.db
}

purge() {
    check "the package is purged, and tells what that does" \
        says "detached the filter" apt-get -q -y purge spamdrop
    echo "purged: $(uptime) s"
    check "the filter is gone" is_detached
    check "nobody is blocked" rejected
    check "no file stays" test ! -e /etc/spamdrop -a ! -e /var/lib/spamdrop -a ! -e /sys/fs/bpf/spamdrop -a ! -e /run/spamdrop
    check "no link to the unit stays" test -z "$(find /etc/systemd -name spamdrop.service)"
}

# Installs the package where a configuration exists: then the installation starts the
# daemon. The first start fails on purpose.
without_daemon() {
    mkdir /etc/spamdrop
    cp spamdrop.toml /etc/spamdrop/
    mkdir /etc/systemd/system/spamdrop.service.d
    printf '[Service]\nExecStart=\nExecStart=false\n' >/etc/systemd/system/spamdrop.service.d/fails.conf
    check "the package installs though the daemon does not start" \
        says "the daemon did not start" install /job/1/spamdrop.deb
    rm -r /etc/systemd/system/spamdrop.service.d
    check "an upgrade starts the daemon that failed" install /job/2/spamdrop.deb
    check "the installation starts the daemon" systemctl is-active spamdrop
    check "and enables it" systemctl is-enabled spamdrop
}

if test ! -e rebooted; then
    first_boot
else
    second_boot
    finish
    systemctl poweroff 2>/dev/null
fi
