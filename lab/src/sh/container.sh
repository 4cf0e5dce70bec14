# shellcheck shell=dash
# Makes a container a host, before its first process goes on: control groups that it may write, a boot id of its own.
b=/lab/busybox
groups=/sys/fs/cgroup
$b mount -o remount,rw /sys
if [ -e "$groups/cgroup.controllers" ]; then
    $b mount -o remount,rw "$groups"
    # No process may stay where controllers are handed down; systemd sees to it itself.
    if ! $b grep -q '^init=systemd' /lab/spec; then
        $b mkdir -p "$groups/init"
        $b xargs -n 1 <"$groups/cgroup.procs" | while read -r one; do echo "$one" >"$groups/init/cgroup.procs"; done
        $b tr ' ' '\n' <"$groups/cgroup.controllers" | while read -r one; do
            echo "+$one" >"$groups/cgroup.subtree_control"
        done
    fi
else
    for hierarchy in "$groups"/*; do
        if [ ! -L "$hierarchy" ]; then $b mount -o remount,bind,rw "$hierarchy"; fi
    done
fi
$b cat /proc/sys/kernel/random/uuid >/lab/boot_id
$b mount -o bind /lab/boot_id /proc/sys/kernel/random/boot_id
