# What the tests share that run in the guest as its unit; they read this file. The
# job's disk has it, and the packages.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root
# The names of the mail server in spamdrop's configuration and in the guide, its
# package, and its replies.
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

# usage: says TEXT COMMAND... - the command succeeds, and prints the text.
says() {
    text=$1
    shift
    "$@" >said 2>&1
    code=$?
    cat said
    test $code = 0 && grep -qF -- "$text" said
}

prints_nothing() {
    "$@" >said 2>&1
    cat said
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
# The second of the clock at which the block ends unless a packet extends it.
end_of_block() { echo $(($(date +%s) + $(spamdrop export | sed -n "s/^$LISTED \([0-9]*\) .*/\1/p"))); }
protects() { says "protecting eth0, port 25: 1 blocked" spamdrop status; }
is_attached() { ip link show eth0 | grep -q xdp; }
install() { apt-get -q -y -o Dpkg::Use-Pty=0 install "$@"; }
daemon() { systemctl show --property=MainPID --value spamdrop; }

# Counts the checks in the words of Rust's tests.
finish() {
    failed=$(wc -l <failed)
    echo "test result: done. $(wc -l <passed) passed; $failed failed; 0 ignored;"
}

# Seconds since the boot.
uptime() { cut -d. -f1 /proc/uptime; }
