#!/bin/sh
# Downloads kernel packages to the root of a new Debian, into VERSION.debs.
#
# usage: kernels='VERSION=PATTERN ...' kernel_suite=SUITE download.sh TREE
#
# Since Linux 7.2, the kernel and its modules are in packages of their own, on which
# the package linux-image-VERSION depends.
set -euf

tree=$1
# shellcheck disable=SC2154
echo "deb http://deb.debian.org/debian $kernel_suite main" >"$tree/etc/apt/sources.list"
case $kernel_suite in
*-backports) ;;
*) echo "deb http://deb.debian.org/debian-security $kernel_suite-security main" >>"$tree/etc/apt/sources.list" ;;
esac
chroot "$tree" apt-get -qq update
# shellcheck disable=SC2154
for wanted in $kernels; do
    package=$(chroot "$tree" apt-cache pkgnames linux-image- | grep -Ex "${wanted#*=}" | sort -V | tail -n 1)
    if test -z "$package"; then
        echo "no package has a name that matches ${wanted#*=}" >&2
        exit 1
    fi
    parts=$(chroot "$tree" apt-cache depends "$package" |
        sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-[0-9].*\)/\1/p')
    debs=${wanted%%=*}.debs
    mkdir "$tree/$debs"
    # Without APT::Sandbox::User, apt warns that its user _apt cannot write there.
    # shellcheck disable=SC2086
    chroot "$tree" sh -c 'cd "$0" && apt-get -qq -o APT::Sandbox::User=root download "$@"' \
        "$debs" "$package" $parts
done
