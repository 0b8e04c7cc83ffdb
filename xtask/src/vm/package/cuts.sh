# Works with the package until the host ends the machine, as a power cut does, and
# checks after each start that nothing is lost that was saved.
#
# The host writes the third disk: a line `phase NAME`, and lines `block`, `known` or
# `allow` with an address that the machine must still have. The host knows the addresses
# from the output of this script, which prints such a line when it has added an address,
# and `saved` when all blocks are saved. It prints `ready` when the power may be cut.
set -u
. /job/common.sh

tr -d '\0' </dev/vdc >expected
phase=$(sed -n 's/^phase //p' expected)
of_host() { sed -n "s/^$1 //p" expected; }

# usage: has_all KIND COMMAND... - the command prints all addresses of the kind.
has_all() {
    kind=$1
    shift
    "$@" | cut -d' ' -f1 | sort >present || return 1
    of_host "$kind" | sort | comm -13 present - >missing
    cat missing
    test ! -s missing
}
list_known() { spamdrop known list; }
list_allowed() { spamdrop allow list; }

damaged() { find /var/lib/spamdrop /etc/spamdrop -name '*.damaged*'; }
panics() { daemon_log | grep -i panicked; }
# Prints the daemon's warnings, except the one about the end of the journal, which
# journald had not saved before the power cut.
warnings() {
    daemon_log --boot --priority=warning | grep -v "journal no longer holds the entry"
}
is_healthy() { says "protecting eth0, port 25" spamdrop status; }

prepare() {
    check "the package installs" install /job/1/spamdrop.deb
    check "setup writes a configuration" spamdrop setup --write
    # Blocks must not end before the test does.
    printf 'ttl = "1d"\nhard_limit = 0\n' >>/etc/spamdrop/spamdrop.toml
    check "the service starts" systemctl enable --now spamdrop
    check "a listed sender is rejected" rejected
    check "it is blocked then" within 5 is_listed
    echo "block $LISTED"
    touch prepared
    sync
}

after_cut() {
    check "the daemon runs" within 20 systemctl is-active spamdrop
    check "the status is healthy" within 20 is_healthy
    check "a clean sender is accepted" accepted
    if of_host block | grep -qx $LISTED; then
        check "the listed sender gets no answer" silent
    fi
    check "the blocks of a minute before are there" has_all block spamdrop export
    check "the known senders are there" has_all known list_known
    check "the allowed addresses are there" has_all allow list_allowed
    check "no file was set aside" prints_nothing damaged
    check "the daemon did not panic" prints_nothing panics
    check "the daemon warns of nothing else" prints_nothing warnings
    test -z "$(dpkg --audit)" || echo "dpkg was interrupted"
    check "dpkg goes on" dpkg --configure -a
    check "the status is healthy then" within 20 is_healthy
}

# Sets `end`, the last two bytes of new addresses. They are taken from `number`, which
# begins with the time, so that each start of the machine adds other addresses.
next_addresses() {
    number=$((number + 1))
    end=$((number >> 8 & 255)).$((number & 255))
}
number=$(date +%s)

add_some() {
    next_addresses
    for address in 10.0.$end 10.1.$end 10.2.$end; do
        spamdrop add "$address" >/dev/null && echo "block $address"
    done
    spamdrop known add "10.3.$end" >/dev/null && echo "known 10.3.$end"
    spamdrop allow add "10.4.$end" >/dev/null && echo "allow 10.4.$end"
}

# Connects from a new address that is listed, and prints it once it is blocked.
listed_sender() {
    address=198.18.$end
    ip -n world address replace "$address/32" dev eth1
    mail_from "$address" 10 >/dev/null
    within 5 sh -c "spamdrop list | grep -q '^$address '" && echo "block $address"
}

# The phases. Each works until the power is cut.
blocks() {
    while :; do
        add_some
        listed_sender
    done
}
saves() {
    while :; do
        add_some
        # The daemon saves when it ends.
        systemctl restart spamdrop && echo saved
    done
}
upgrades() {
    while :; do
        for package in /job/2/spamdrop.deb /job/1/spamdrop.deb; do
            install $package --allow-downgrades >/dev/null 2>&1 && echo saved
            add_some
        done
    done
}

: >passed
: >failed
if test -e prepared; then
    after_cut
else
    prepare
fi
finish
echo ready
case $phase in
blocks | saves | upgrades) $phase ;;
end) systemctl poweroff 2>/dev/null ;;
esac
