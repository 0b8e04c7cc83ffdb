#!/bin/sh
# Boots a guest whose cards are joined by a bridge, in a network namespace of
# its own. The second serial port is standard output.
#
# usage: unshare --net -- sh qemu.sh DIRECTORY VERSION JOB CONSOLE [PARAMETERS]
#
# tests/vm/card.rs knows the cards by the last byte of their addresses.
set -eu

directory=$1 version=$2 job=$3 console=$4 parameters=${5-}

ip link add lan type bridge
ip link set lan mtu 9000 up

# usage: card NUMBER QUEUES DEVICE[,OPTION...]
card() {
    flags=vnet_hdr
    test "$2" = 1 || flags="$flags multi_queue"
    # shellcheck disable=SC2086
    ip tuntap add dev "tap$1" mode tap $flags
    ip link set "tap$1" mtu 9000 master lan up
    cards="$cards -netdev tap,id=net$1,ifname=tap$1,script=no,downscript=no,vhost=off,queues=$2"
    cards="$cards -device $3,netdev=net$1,mac=02:00:00:00:00:0$1"
}
cards=
card 0 1 virtio-net-pci
card 1 1 virtio-net-pci
card 2 4 virtio-net-pci,mq=on,vectors=10
card 3 1 virtio-net-pci,ctrl_guest_offloads=off
card 4 1 e1000e
card 5 1 vmxnet3

# Nehalem: of the processors, an old one is the fastest to emulate, as programs then
# use no wide registers.
# no_timer_check: on a busy machine, Linux may find that its timer does not work, and
# panic. norandmaps: without random addresses, QEMU translates a program once, not
# whenever it starts.
# shellcheck disable=SC2086
exec qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m 1024 \
    -nodefaults -display none -no-reboot -device virtio-rng-pci \
    -kernel "$directory/$version/vmlinuz" -initrd "$directory/$version/initrd" \
    -append "console=ttyS0 panic=-1 mitigations=off no_timer_check norandmaps vm_init=/job/init $parameters" \
    -drive "file=$directory/image,format=raw,if=virtio,snapshot=on" \
    -drive "file=$job,format=raw,if=virtio,readonly=on" \
    -serial "file:$console" -serial stdio $cards
