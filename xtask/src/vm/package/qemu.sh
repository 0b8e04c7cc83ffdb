#!/bin/sh
# Boots the mail server, whose two cards are on one wire. It may reboot, and ends by
# itself. The second serial port is standard output.
#
# usage: qemu.sh KERNEL DISK JOB CONSOLE [ARGUMENT...]
#
# KERNEL is the directory of the kernel and its initrd, and DISK the options of
# QEMU's -drive for the root file system. QEMU gets the arguments too.
set -eu

kernel=$1 disk=$2 job=$3 console=$4
shift 4

# usage: card NAME PEER NUMBER - prints the options for a card, one end of the wire. The
# wire is a pair of sockets.
card() {
    socket=local.type=unix,local.path=$console.$1,remote.type=unix,remote.path=$console.$2
    echo "-netdev dgram,id=$1,$socket -device virtio-net-pci,netdev=$1,mac=02:00:00:00:00:0$3"
}

# ../qemu.sh explains Nehalem, no_timer_check and norandmaps. A small server has one
# processor; two would only wait for each other, since two guests share the machine.
# panic=1: the machine boots again if Linux panics while it starts, which may be the
# emulator's fault. guest.rs counts a later panic as a failure.
# shellcheck disable=SC2046
exec qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu Nehalem -smp 1 -m 1024 \
    -nodefaults -display none -device virtio-rng-pci \
    -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd" \
    -append "console=ttyS0 panic=1 mitigations=off no_timer_check norandmaps quiet \
        systemd.show_status=no net.ifnames=0 vm_init=/sbin/init" \
    -drive "$disk,format=raw,if=virtio" \
    -drive "file=$job,format=raw,if=virtio,readonly=on" \
    -serial "file:$console" -serial stdio \
    $(card server sender 1) $(card sender server 2) "$@"
