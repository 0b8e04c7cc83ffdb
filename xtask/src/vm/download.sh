#!/bin/sh
# Downloads kernel packages to the root of a new Debian, as VERSION.deb.
#
# usage: kernels='VERSION=PATTERN ...' kernel_suite=SUITE download.sh TREE
set -euf

tree=$1
# shellcheck disable=SC2154
cat >"$tree/etc/apt/sources.list" <<END
deb http://deb.debian.org/debian $kernel_suite main
deb http://deb.debian.org/debian-security $kernel_suite-security main
END
chroot "$tree" apt-get -qq update
# shellcheck disable=SC2154
for wanted in $kernels; do
    package=$(chroot "$tree" apt-cache pkgnames linux-image- | grep -Ex "${wanted#*=}" | sort -V | tail -n 1)
    if test -z "$package"; then
        echo "no package has a name that matches ${wanted#*=}" >&2
        exit 1
    fi
    # Otherwise apt warns that its own user cannot write there.
    chroot "$tree" apt-get -qq -o APT::Sandbox::User=root download "$package"
    chroot "$tree" sh -c "mv '$package'_*.deb '${wanted%%=*}.deb'"
done
