#!/bin/sh
# Run a command inside of a folder that holds a Debian, in the present folder, with this tree, /proc, /dev and the machine's
# certificates and name servers.
#   usage: inside.sh ROOT COMMAND...
# The mounts belong to a namespace of their own and end with the command, however it ends.
set -eu
ROOT=$1
shift
exec unshare --mount --propagation private sh -eu -c '
    root=$1; shift
    for folder in /proc /dev /etc/ssl "$PWD"; do
        mkdir -p "$root$folder"
        mount --rbind "$folder" "$root$folder"
    done
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    exec chroot "$root" sh -eu -c '\''cd "$1"; shift; exec "$@"'\'' inside "$PWD" "$@"
' inside "$ROOT" "$@"
