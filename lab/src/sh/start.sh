#!/lab/busybox sh
# shellcheck shell=dash disable=SC1091,SC2154
# The first process of a host, in its own files: the real init where it has one, else the few things that one starts.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
b=/lab/busybox
if [ -d /.old ]; then
    $b umount -l /.old
    $b rmdir /.old
fi
. /lab/spec
for file in /lab/early/*; do
    if [ -f "$file" ]; then $b sh "$file"; fi
done
if [ "$init" = systemd ]; then
    container=lab
    export container
    exec /lib/systemd/systemd
fi
$b mkdir -p /run/sshd /run/lock /var/run
$b setsid /usr/sbin/sshd -D -E /var/log/sshd.log </dev/null &
if [ "$docker" = yes ]; then
    $b setsid dockerd --storage-driver overlay2 >>/var/log/dockerd.log 2>&1 &
fi
if [ "$cron" = yes ]; then $b setsid cron -f </dev/null >/dev/null 2>&1 & fi
if [ "$init" = openrc ]; then
    # What it did before the reboot lay in memory.
    $b rm -rf /run/openrc
    $b setsid openrc default >>/var/log/openrc.log 2>&1 </dev/null &
fi
if [ -f /boot/config/go ]; then $b setsid $b sh /boot/config/go >>/var/log/go.log 2>&1 </dev/null & fi
trap 'exit 0' TERM
# `wait` also takes in the orphans that every first process inherits.
while :; do
    $b sleep 100000 &
    wait
done
