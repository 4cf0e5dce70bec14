#!/bin/sh
# Builds the files of a poor host from those of a whole one: busybox with only what a node needs, sshd, sudo.
#   poor.sh <whole tree> <new directory>
set -eu
whole=$1
tree=$2
# POSIX utilities, tar and sha256sum; then what the node script uses when it is there.
needed='awk basename cat chmod chown cmp cp cut date dd df env grep head id kill ln ls mkdir mv od printf pwd rm rmdir
sed sh sha256sum sleep sort tail tar test tr uname xargs setsid stat sync'
programs='/usr/sbin/sshd /usr/bin/sudo'

with_libraries() { # <path>: itself and what it is linked with
    chroot "$whole" ldd "$1" | tr -s ' \t' '\n' | grep '^/' || true
    echo "$1"
}

bring() { # <path>: as it is, below the same directories
    mkdir -p "$tree$(dirname "$1")"
    cp -aL "$whole$1" "$tree$1"
}

mkdir -p "$tree/usr/bin" "$tree/usr/sbin" "$tree/usr/lib" "$tree/usr/lib64" "$tree/etc" "$tree/lab/early"
for link in bin sbin lib lib64; do ln -s "usr/$link" "$tree/$link"; done
cp "$whole/bin/busybox" "$tree/usr/bin/busybox"
cp "$whole/bin/busybox" "$tree/lab/busybox"
for name in $needed; do ln -s busybox "$tree/usr/bin/$name"; done

# sudo loads its plugins and PAM's modules by name.
plugins=$(cd "$whole" && find usr/lib*/sudo -name '*.so*' -type f | sed 's,^,/,')
modules=$(cd "$whole" && find usr/lib* -path '*/security/pam_permit.so' | sed 's,^,/,')
for program in $programs $plugins $modules; do
    with_libraries "$program"
done | sort -u | while read -r path; do bring "$path"; done

for file in passwd group shadow sudoers nsswitch.conf ld.so.cache; do cp -a "$whole/etc/$file" "$tree/etc/$file"; done
cp -a "$whole/etc/sudoers.d" "$tree/etc/sudoers.d"
sed -i 's,/bin/bash,/bin/sh,' "$tree/etc/passwd"
mkdir -p "$tree/etc/pam.d" "$tree/etc/ssh" "$tree/var/log" "$tree/var/empty" "$tree/home" "$tree/root/.ssh"
chmod 700 "$tree/root/.ssh"
for kind in auth account session password; do echo "$kind required pam_permit.so"; done >"$tree/etc/pam.d/sudo"
cp "$tree/etc/pam.d/sudo" "$tree/etc/pam.d/other"
for user in deploy sync; do cp -a "$whole/home/$user" "$tree/home/$user"; done
