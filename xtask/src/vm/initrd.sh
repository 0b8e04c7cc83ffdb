#!/bin/busybox sh
# The first program in the guest: mounts the root file system and the job's disk.
busybox mount -t devtmpfs none /dev
for module in /modules/*; do
    # insmod fails if the module is loaded already: two modules may need the same third.
    busybox insmod "$module" 2>/dev/null
done
busybox mount -t ext4 /dev/vda /root
busybox mount -t ext4 -o ro /dev/vdb /root/job
busybox mount --move /dev /root/dev
exec busybox switch_root /root "$vm_init"
