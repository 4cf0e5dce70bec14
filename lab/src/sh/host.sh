#!/bin/sh
# Powers a host on: control groups, then namespaces, then its files and its link, then its first process.
#   host.sh <directory of the host>             in the lab's namespaces
#   host.sh <directory of the host> inside      in the host's own
# The directory's `spec` says the rest, as shell variables.
# shellcheck disable=SC2154,SC2030,SC2031
set -eu
self=$0
place=$1
# shellcheck disable=SC1091  # written beside the host's disk
. "$place/spec"
groups=/sys/fs/cgroup

own_group() { # <hierarchy>
    mkdir -p "$1/$group"
    if [ -e "$1/$group/cpuset.mems" ] && [ ! -e "$1/$group/cgroup.controllers" ]; then
        cat "$1/cpuset.cpus" >"$1/$group/cpuset.cpus"
        cat "$1/cpuset.mems" >"$1/$group/cpuset.mems"
    fi
    echo $$ >"$1/$group/cgroup.procs"
}

join_groups() {
    if [ -e "$groups/cgroup.controllers" ]; then
        own_group "$groups"
        return
    fi
    for hierarchy in "$groups"/*; do
        if [ -e "$hierarchy/cgroup.procs" ]; then own_group "$hierarchy"; fi
    done
}

if [ "${2:-}" != inside ]; then
    join_groups
    exec unshare --net --mount --pid --uts --ipc --cgroup --fork --kill-child sh "$self" "$place" inside
fi

mount_groups() {
    if [ -e "$groups/cgroup.controllers" ]; then
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
        # No process may stay where controllers are handed down.
        mkdir -p "$root/sys/fs/cgroup/init"
        echo $$ >"$root/sys/fs/cgroup/init/cgroup.procs"
        tr " " "\n" <"$root/sys/fs/cgroup/cgroup.controllers" | while read -r one; do
            echo "+$one" >"$root/sys/fs/cgroup/cgroup.subtree_control" || true
        done
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    for hierarchy in "$groups"/*; do
        name=${hierarchy##*/}
        [ -e "$hierarchy/cgroup.procs" ] || continue
        [ ! -e "$hierarchy/cgroup.controllers" ] || continue
        mkdir -p "$root/sys/fs/cgroup/$name"
        case $name in
            systemd) mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/$name" ;;
            *) mount -t cgroup -o "$name" cgroup "$root/sys/fs/cgroup/$name" ;;
        esac
    done
}

mount_devices() {
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
    done
    mknod -m 666 "$root/dev/tty" c 5 0
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    mount -t tmpfs tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin"
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"
    : >"$root/dev/console"
}

mount_files() {
    mount -t overlay -o "lowerdir=$tree,upperdir=$place/disk,workdir=$place/work" overlay "$root"
    mkdir -p "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount_devices
    mount_groups
    if [ -d "$place/docker" ]; then
        mkdir -p "$root/var/lib/docker"
        mount --bind "$place/docker" "$root/var/lib/docker"
    fi
    mounts=$place/mounts # lines `loop <image> <path>` and `tmpfs - <path>`
    while read -r kind image path; do
        mkdir -p "$root$path"
        case $kind in
            loop) mount -o loop "$image" "$root$path" ;;
            tmpfs) mount -t tmpfs -o mode=755 tmpfs "$root$path" ;;
        esac
    done <"$mounts"
    # The kernel's boot id is the machine's; a host that starts again needs another one.
    cat /proc/sys/kernel/random/uuid >"$place/boot_id"
    mount --bind "$place/boot_id" "$root/proc/sys/kernel/random/boot_id"
}

plug_in() {
    ip link set lo up
    # The same hardware address after every start: neighbours remember it.
    ip link add eth0 address "$hardware" type veth peer name "$link"
    ip link set "$link" netns /proc/1/ns/net
    nsenter --net=/proc/1/ns/net ip link set "$link" master br0 up
    ip address add "$address/$prefix" dev eth0
    ip link set eth0 up
    ip route add default via "$controller"
}

root=$place/root
mount --make-rprivate /
hostname "$name"
plug_in
mount_files
cd "$root"
mkdir -p .old
pivot_root . .old
exec /lab/busybox sh /lab/start
