#!/bin/sh
# Process 1 of the guest, on the job's disk: runs the test program and ends the
# machine.
# The test program's output goes to the second serial port, the kernel's to the first.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/log
mkdir /run/lock
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
# Load the drivers of the emulated cards, because no udev runs here. The kernel loads
# the drivers of virtual interfaces itself, except those of /dev/ppp and /dev/net/tun.
modprobe -a -b -q $(cat /sys/bus/pci/devices/*/modalias)
modprobe -a -b -q $(cat /sys/bus/virtio/devices/*/modalias) ppp_generic tun
cd /tmp && /job/vm --test-threads=1 $vm_flags </dev/null >/dev/ttyS1 2>&1
busybox reboot -f
