# Functions that test.sh, layouts.sh and cuts.sh share. Each of these runs in the guest,
# as the unit test.service, and reads this file from the job's disk, where the packages
# are too.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root
# Sets SERVER, NAME and PACKAGE: the names of the mail server in spamdrop's configuration,
# in the guide and in Debian. Also sets its replies, REJECTION and ACCEPTANCE.
. /etc/server

LISTED=198.51.100.66
CLEAN=198.51.100.77
STATE=/var/lib/test
mkdir -p $STATE
cd $STATE || exit 1

# usage: check WHAT COMMAND... - runs the command, which must succeed.
check() {
    what=$1
    shift
    if "$@" >output 2>&1; then
        echo "test $what ... ok"
        echo >>passed
    else
        echo "test $what ... FAILED"
        cat output
        echo >>failed
    fi
}

# usage: within SECONDS COMMAND... - runs the command until it succeeds.
within() {
    end=$(($(uptime) + $1))
    shift
    until "$@"; do
        test "$(uptime)" -lt $end || return 1
        sleep 0.2
    done
}

not() { ! "$@"; }

# usage: attempt COMMAND... - runs the command, writes its output to the file `said`, and
# sets $code to its status.
attempt() {
    "$@" >said 2>&1
    code=$?
    cat said
}

# usage: says TEXT COMMAND... - the command succeeds, and prints the text.
says() {
    text=$1
    shift
    attempt "$@"
    test $code = 0 && grep -qF -- "$text" said
}

# usage: omits TEXT COMMAND... - the command succeeds and prints something, but not the
# text.
omits() {
    text=$1
    shift
    attempt "$@"
    test $code = 0 && test -s said && ! grep -qF -- "$text" said
}

# usage: fails_with TEXT COMMAND... - the command fails, and prints the text.
fails_with() {
    text=$1
    shift
    attempt "$@"
    test $code != 0 && grep -qF -- "$text" said
}

# usage: contains FILE TEXT... - the file has all these texts.
contains() {
    file=$1
    shift
    for text in "$@"; do
        grep -qF -- "$text" "$file" || {
            echo "$file lacks $text"
            return 1
        }
    done
}

prints_nothing() {
    attempt "$@"
    test ! -s said
}

# usage: mail_from ADDRESS SECONDS - prints the replies to a message's envelope. The
# first connection takes a server some seconds here.
mail_from() {
    ip -n world route replace 192.0.2.25 dev eth1 src "$1"
    ip netns exec world timeout "$2" bash -c '
        exec 3<>/dev/tcp/192.0.2.25/25 || exit 1
        reply() { IFS= read -r line <&3 && echo "$line"; }
        reply
        for word in "HELO world.example" "MAIL FROM:<a@world.example>" "RCPT TO:<b@here.example>" QUIT; do
            printf "%s\r\n" "$word" >&3
            reply
        done' 2>&1
}
rejected() { says "$REJECTION" mail_from $LISTED 30; }
accepted() { says "$ACCEPTANCE" mail_from $CLEAN 30; }
silent() { not mail_from $LISTED 4; }

is_listed() { spamdrop list | grep -q "^$LISTED "; }
# Prints the Unix time at which the block ends unless a packet extends it.
end_of_block() { echo $(($(date +%s) + $(spamdrop export | sed -n "s/^$LISTED \([0-9]*\) .*/\1/p"))); }
protects() { says "protecting eth0, port 25: 1 blocked" spamdrop status; }
is_attached() { ip link show eth0 | grep -q xdp; }
is_detached() { omits xdp ip link show eth0; }
install() { apt-get -q -y -o Dpkg::Use-Pty=0 install "$@"; }
daemon() { systemctl show --property=MainPID --value spamdrop; }

daemon_log() { journalctl --quiet --no-pager --output=cat --unit=spamdrop "$@"; }

# Connects from the listed sender again and again, and prints a line for each connection
# that is answered. The pauses leave processor time to the upgrade.
knock() {
    ip netns exec world bash -c '
        while test -e knocking; do
            timeout 0.3 bash -c "exec 3<>/dev/tcp/192.0.2.25/25" 2>/dev/null && echo answered
            echo >>knocks
            sleep 0.2
        done'
}

# Connects from the clean sender to the server's other address again and again. Prints a
# line for each connection that fails, or whose first SYN was lost: its SYN was repeated,
# and its round trip takes less than a second. A round trip of a second or more shows
# that a busy machine answered the first SYN late.
visit() {
    ip netns exec world bash -c '
        while test -e knocking; do
            timeout 20 bash -c "exec 3<>/dev/tcp/192.0.2.26/25 && ss -tiHO dst 192.0.2.26" >socket 2>&1 ||
                echo failed
            grep retrans: socket | grep -E " rtt:[0-9]{1,3}(\.[0-9]*)?/"
            echo >>visits
            sleep 0.2
        done'
}

# Prints the blocks without the times that are left.
blocks() { spamdrop export | cut -d" " -f1,3 | sort; }
known() { spamdrop known list | sort; }
# Prints only the addresses: the other columns differ between versions.
allowed() { spamdrop allow list | awk '$1 ~ /[.:]/ { print $1 }' | sort; }

# usage: hold ADDRESS - holds three connections to the address and makes short ones,
# until the file `holding` is removed.
hold() {
    ip netns exec world bash -c "
        for number in 1 2 3; do exec {socket}<>/dev/tcp/$1/25; done
        while test -e holding; do
            timeout 2 bash -c 'exec 3<>/dev/tcp/$1/25'
            sleep 0.5
        done" >/dev/null 2>&1
}

# Two senders that are not listed take more than the 4 slots of the configuration.
make_wave() {
    echo 'slots = 4' >>/etc/spamdrop/spamdrop.toml
    check "the number of slots is reloaded" systemctl reload spamdrop
    ip -n world route replace 192.0.2.25 dev eth1 src 192.0.2.1
    ip -n world route replace 192.0.2.26 dev eth1 src $CLEAN
    touch holding
    hold 192.0.2.25 &
    hold 192.0.2.26 &
    check "a wave is recorded" within 60 has_wave
    rm holding
    wait
    sed -i '$d' /etc/spamdrop/spamdrop.toml
    check "the number of slots is that of the server again" systemctl reload spamdrop
}
# Prints the start of each wave. The last wave also ends when the daemon ends, so the
# ends of waves cannot be compared.
waves() { spamdrop report --json | grep -o '"start_unix_s":[0-9]*'; }
has_wave() { waves >/dev/null; }

# usage: upgrade_to PACKAGE - upgrades under traffic.
upgrade_to() {
    before=$(daemon)
    check "blocks are added" spamdrop add 203.0.113.1 203.0.113.128/25 2001:db8::1
    check "known senders are added" spamdrop known add 203.0.113.2 2001:db8:2::1
    check "allowed addresses are added" spamdrop allow add 203.0.113.3 2001:db8:3::/48
    blocks >blocks
    known >known
    allowed >allowed
    check "the export has the blocks" contains blocks "203.0.113.1 " 203.0.113.128/25 2001:db8::
    check "the list of known senders has them" contains known "203.0.113.2 " 2001:db8:2::
    check "the allowlist has the addresses" contains allowed 203.0.113.3 2001:db8:3::/48
    waves >waves
    ip -n world route replace 192.0.2.25 dev eth1 src $LISTED
    ip -n world route replace 192.0.2.26 dev eth1 src $CLEAN
    touch knocking
    knock >answered &
    visit >lost &
    check "the package is upgraded" install "$1"
    rm knocking
    wait
    echo "upgraded: $(uptime) s; meanwhile $(wc -l <knocks) connections of the blocked sender and" \
        "$(wc -l <visits) of the clean one"
    check "the new daemon runs" test "$(daemon)" != "$before"
    check "no connection of the blocked sender was answered meanwhile" prints_nothing cat answered
    check "no SYN of the clean sender was lost meanwhile" prints_nothing cat lost
    check "both senders connected meanwhile" test -s knocks -a -s visits
    blocks >now
    check "all blocks are there after the upgrade" diff blocks now
    known >now
    check "all known senders are there after the upgrade" diff known now
    allowed >now
    check "all allowed addresses are there after the upgrade" diff allowed now
    waves >now
    check "all waves are there after the upgrade" diff waves now
    check "there was a wave" test -s waves
    spamdrop allow remove 203.0.113.3 2001:db8:3::/48 >/dev/null
}

# Prints the counts of the checks in the format of Rust's tests.
finish() {
    failed=$(wc -l <failed)
    echo "test result: done. $(wc -l <passed) passed; $failed failed; 0 ignored;"
}

# Seconds since the boot.
uptime() { cut -d. -f1 /proc/uptime; }
