#!/bin/sh
# Builds a bootable Debian: DIRECTORY/image, and for each kernel
# DIRECTORY/VERSION/vmlinuz and DIRECTORY/VERSION/initrd.
#
# usage: build.sh DIRECTORY SUITE PACKAGE,... CHANGE KERNELS VERSION=PATTERN...
#
# The command CHANGE is called with the root of the new system; it may be `true`.
# KERNELS is the suite that has the kernels. Of the packages whose name matches
# PATTERN, the newest is taken. Kernels are unpacked and not installed, because
# their maintainer scripts would build an initrd that takes a minute to boot.
set -eu

directory=$1 suite=$2 packages=$3 change=$4 kernel_suite=$5
shift 5
here=$(dirname "$0")
tree=$directory/tree

kernels=$*
export kernels kernel_suite
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --customize-hook="sh '$here/download.sh' \"\$1\"" \
    --customize-hook="$change \"\$1\"" "$suite" "$tree"

unpack() {
    for deb in "$1"/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" |
            tar --extract --keep-directory-symlink --exclude=./usr/share/doc --directory "$2"
    done
}

# usage: initrd DIRECTORY RELEASE - prints an initrd with the modules that mounting the
# root file system needs, numbered in the order of loading. Newer kernels have some of
# the modules built in.
initrd() {
    mkdir -p "$1/bin" "$1/dev" "$1/modules" "$1/root"
    cp "$tree/bin/busybox" "$1/bin/"
    cp "$here/initrd.sh" "$1/init"
    chmod +x "$1/init"
    number=100
    chroot "$tree" modprobe --quiet --set-version "$2" --show-depends --all virtio_pci virtio_blk ext4 |
        while read -r verb file; do
            test "$verb" = insmod || continue
            number=$((number + 1))
            case $file in
            *.xz) xz --decompress --stdout "$tree/$file" >"$1/modules/$number.ko" ;;
            *) cp "$tree/$file" "$1/modules/$number.ko" ;;
            esac
        done
    (cd "$1" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null)
}

kernel() {
    unpack "$directory/$1.debs" "$directory/$1"
    # Since Debian 13, the modules are in /usr/lib, not in /lib.
    modules=$(find "$directory/$1" -maxdepth 3 -name modules)
    release=$(ls "$modules")
    mv "$modules/$release" "$tree/lib/modules/"
    chroot "$tree" depmod "$release"
    # Since Linux 7.2, the image is beside the modules, not in /boot.
    for image in "$directory/$1/boot/vmlinuz-$release" "$tree/lib/modules/$release/vmlinuz"; do
        test ! -e "$image" || mv "$image" "$directory/$1/vmlinuz"
    done
    rm -rf "$directory/$1/boot" "$directory/$1/lib" "$directory/$1/usr"
    initrd "$directory/$1/tree" "$release" >"$directory/$1/initrd"
    rm -r "$directory/$1/tree"
}

mkdir -p "$tree/lib/modules" "$tree/job"
running=
for wanted in "$@"; do
    version=${wanted%%=*}
    mkdir "$directory/$version"
    mv "$tree/$version.debs" "$directory/"
    kernel "$version" &
    running="$running $!"
done
for pid in $running; do
    wait "$pid"
done

truncate -s 1500M "$directory/image"
# The file system needs no journal, because each guest's writes are thrown away.
mke2fs -q -t ext4 -O ^has_journal -d "$tree" "$directory/image"
rm -r "$tree" "$directory"/*.debs
