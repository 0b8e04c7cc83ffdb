# Installs the package of a version whose maps have an older layout, upgrades it under
# traffic, and goes back.
set -u
. /job/common.sh

layouts() { ls /sys/fs/bpf/spamdrop | grep '^v[0-9]*$'; }
protects_again() { says "protecting eth0, port 25" spamdrop status; }

install_older() {
    check "the older package installs" install /job/0/spamdrop.deb
    check "setup writes a configuration" spamdrop setup --write
    check "the older daemon starts" systemctl enable --now spamdrop
    check "a clean sender is accepted" accepted
    check "a listed sender is rejected the first time" rejected
    check "it is blocked then" within 5 is_listed
    layouts >older
    echo "the older version has the maps $(cat older)"
}

upgrade() {
    make_wave
    upgrade_to /job/2/spamdrop.deb
    layouts >newer
    echo "the newer version has the maps $(cat newer)"
    check "both versions have maps" test -s older -a -s newer
    check "the maps have another layout" not cmp older newer
    check "the listed sender gets no answer after the upgrade" silent
    check "a clean sender is accepted after the upgrade" accepted
    check "the status is healthy after the upgrade" protects_again
}

downgrade() {
    # As the guide says, the blocks are exported before the older version is installed.
    check "a block for an hour is added" spamdrop add 203.0.113.4 --for 1h
    spamdrop export >exported
    check "the export has it" contains exported "203.0.113.4 "
    before=$(daemon)
    check "the downgrade says that the maps are of a newer version" \
        says "are of a newer spamdrop" install /job/0/spamdrop.deb --allow-downgrades
    cp said downgrade
    check "it says how to go back" grep -F "then \`spamdrop detach\`" downgrade
    check "it says that the daemon goes on" grep -F "the daemon of the old version goes on" downgrade
    check "the daemon goes on" test "$(daemon)" = "$before"
    layouts >now
    check "the maps stay" diff newer now
    check "the older program reads no map of the newer one" fails_with "are of a newer spamdrop" spamdrop list
    check "the listed sender gets no answer after the downgrade" silent
    check "a clean sender is accepted after the downgrade" accepted
}

go_back() {
    check "the newer daemon stops" systemctl stop spamdrop
    check "the older program detaches the newer filter" spamdrop detach
    check "the filter is gone" is_detached
    check "the older daemon starts again" systemctl start spamdrop
    layouts >now
    check "the maps have the older layout" diff older now
    check "the older version imports the blocks" spamdrop import exported
    blocks >now
    check "the block for an hour is there again" contains now "203.0.113.4 "
    known >now
    check "all known senders are there after the downgrade" diff known now
    waves >now
    check "all waves are there after the downgrade" diff waves now
    check "a clean sender is accepted by the older version" accepted
    check "the status of the older version is healthy" protects_again
}

: >passed
: >failed
install_older
upgrade
downgrade
go_back
finish
systemctl poweroff 2>/dev/null
