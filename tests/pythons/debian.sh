#!/bin/sh
# Keep a folder with Debian unstable, for the Pythons that a stable distribution does not have yet.
#   usage: debian.sh [DEST]      default DEST: $HOME/.cache/streamcore/debian
#   result: DEST is a root with python3.14, python3.15 and pypy3; about 60 s the first time, nothing where they are there already
# Needs root, and debootstrap (from apt, where it is missing). The mirror is the one that the machine's apt is set up with.
# `inside.sh` runs a command in it; nothing stays mounted.
set -eu
DEST=${1:-$HOME/.cache/streamcore/debian}
PACKAGES="python3.14-venv python3.15-venv pypy3-venv make git openssl"
has_all() { for python in python3.14 python3.15 pypy3; do [ -x "$DEST/usr/bin/$python" ] || return 1; done; [ -x "$DEST/usr/bin/openssl" ]; }
if has_all; then exit 0; fi
[ "$(id -u)" = 0 ] || { echo "debian.sh needs root, for chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { apt-get -q update && apt-get -q -y --no-install-recommends install debootstrap; }
MIRROR=${DEBIAN_MIRROR:-$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *\([^ ]*\).*/\1/p' | grep '/debian/\{0,1\}$' | head -1)}
[ -n "$MIRROR" ] || MIRROR=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*debian\/\{0,1\}\) .*/\2/p' /etc/apt/sources.list | head -1)
[ -n "$MIRROR" ] || { echo "no Debian mirror in apt's sources; set DEBIAN_MIRROR" >&2; exit 1; }
if [ ! -e "$DEST/etc/debian_version" ]; then
    rm -rf "$DEST.new"
    mkdir -p "$(dirname "$DEST")"
    debootstrap --variant=minbase --include=ca-certificates sid "$DEST.new" "$MIRROR"
    mv "$DEST.new" "$DEST"
fi
here=$(dirname "$0")
# A mirror may lag behind; what it has is signed all the same.
"$here/inside.sh" "$DEST" apt-get -q -oAcquire::Check-Valid-Until=false update
# shellcheck disable=SC2086  # a list of words
"$here/inside.sh" "$DEST" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $PACKAGES
has_all
