
# --- the boot hook: what an unfinished rollout changed is taken back after a reboot. Never part of a unit.

# boot_hook HOW: `systemd`, `openrc`, `cron`, `file <path>` or `none`. Written once, and left where it is afterwards:
# without an open rollout it does nothing.
boot_hook() {
    [ "$1" != none ] || return 0
    hook_script=$root/bin/gitsync-boot.sh
    hook_name=gitsync-restore-$(printf '%s' "$root" | sha256sum | cut -c 1-8)
    # Formats of others that know no quoting could be told anything.
    case $root in
    *[!A-Za-z0-9/._\ +=@-]*) bad refused "no boot hook for a root like $root: use letters, digits and blanks" || return 1 ;;
    esac
    boot_script >"$work/boot-script"
    hook_put "$hook_script" 700 <"$work/boot-script" || return 1
    case $1 in
    systemd) boot_systemd ;;
    openrc) boot_openrc ;;
    cron) boot_cron ;;
    'file /'*) boot_file "${1#file }" ;;
    *) bad refused "not a way to survive a reboot: $1" ;;
    esac
}

# hook_put PATH MODE: standard input, when it is not there already.
hook_put() {
    cat >"$work/hook"
    ! cmp -s "$work/hook" "$1" || return 0
    if cp "$work/hook" "$1.new" 2>/dev/null && chmod "$2" "$1.new" && fsync_file "$1.new" && mv -f "$1.new" "$1"; then
        fsync_dir "${1%/*}"
    else
        rm -f "$1.new"
        bad refused "the boot hook $1 can't be written (by $(id -un)): use \`sudo: true\`, or say \`boot: cron\` or \`boot: none\`"
    fi
}

# hook_link PATH TARGET
hook_link() {
    [ -L "$1" ] && return 0
    ln -s "$2" "$1" 2>/dev/null && fsync_dir "${1%/*}" || bad refused "the boot hook $1 can't be written (by $(id -un))"
}

# boot_script: each open rollout by the very script that opened it.
boot_script() {
    cat <<'END'
#!/bin/sh
# Takes back what an unfinished rollout changed, after a reboot. Written by gitsync; it does nothing otherwise.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
cd "${0%/*}/.." || exit 1
for marker in fleets/*/rollout; do
    [ -f "$marker" ] || continue
    fleet=${marker#fleets/}
    script=$(sed -n 's/^script //p' "$marker" | head -n 1)
    [ -z "$script" ] || sh "$PWD/bin/${script##*/}" boot "${fleet%/rollout}"
done
END
}

boot_systemd() {
    hook_dir=/etc/systemd/system
    [ -d "$hook_dir" ] || {
        bad refused "this node has no systemd: say \`boot: openrc\`, \`cron\`, \`file:/…\` or \`none\` in its file" || return 1
    }
    mkdir -p "$hook_dir/multi-user.target.wants" 2>/dev/null
    # What the hook starts runs on when the hook has ended.
    hook_put "$hook_dir/$hook_name.service" 644 <<END || return 1
# Written by gitsync.
[Unit]
Description=gitsync: take back what an unfinished rollout changed
After=local-fs.target network.target docker.service containerd.service
RequiresMountsFor="$root"

[Service]
Type=simple
KillMode=process
ExecStart=/bin/sh "$hook_script"

[Install]
WantedBy=multi-user.target
END
    hook_link "$hook_dir/multi-user.target.wants/$hook_name.service" "$hook_dir/$hook_name.service"
}

boot_openrc() {
    [ -d /etc/runlevels/default ] && [ -d /etc/init.d ] || {
        bad refused "this node has no OpenRC: say \`boot: systemd\`, \`cron\`, \`file:/…\` or \`none\` in its file" || return 1
    }
    hook_put "/etc/init.d/$hook_name" 755 <<END || return 1
#!/sbin/openrc-run
# Written by gitsync.
description="gitsync: take back what an unfinished rollout changed"
depend() {
    after localmount net docker containerd
}
start() {
    ebegin "Looking for an unfinished rollout"
    sh '$hook_script' </dev/null >/dev/null 2>&1 &
    eend 0
}
END
    hook_link "/etc/runlevels/default/$hook_name" "/etc/init.d/$hook_name"
}

boot_cron() {
    if [ -d /etc/cron.d ] && [ "$uid" -eq 0 ]; then
        hook_put "/etc/cron.d/$hook_name" 644 <<END
# Written by gitsync.
@reboot root sh '$hook_script'
END
        return
    fi
    has crontab || { bad refused "this node has neither /etc/cron.d nor crontab: say another \`boot:\`, or \`none\`" || return 1; }
    crontab -l 2>/dev/null >"$work/crontab" </dev/null
    ! grep -q -F -e "# $hook_name" "$work/crontab" || return 0
    printf "@reboot sh '%s' # %s\n" "$hook_script" "$hook_name" >>"$work/crontab"
    crontab "$work/crontab" 2>"$work/out" || bad refused "the crontab can't be written: $(tail -n 1 "$work/out")"
}

# boot_file PATH: a line of a script that others own, behind its first one: it may end with `exit`. Where the root comes
# up later than that script, it is waited for, for half an hour.
boot_file() {
    [ -d "${1%/*}" ] || { bad refused "no directory ${1%/*}: is \`boot: file:$1\` right?" || return 1; }
    [ ! -L "$1" ] && [ ! -d "$1" ] || { bad refused "$1 is a link or a directory" || return 1; }
    ! grep -q -F -e "# $hook_name" "$1" 2>/dev/null || return 0
    hook_line="(n=0; while [ ! -f '$hook_script' ] && [ \$n -lt 360 ]; do sleep 5; n=\$((n + 1)); done; sh '$hook_script') </dev/null >/dev/null 2>&1 & # $hook_name"
    if [ -f "$1" ]; then
        # With its mode and owner.
        cp -p "$1" "$1.new" 2>/dev/null || { bad refused "$1 can't be written (by $(id -un))" || return 1; }
        cp "$1" "$work/boot-file"
    else
        printf '#!/bin/sh\n' >"$work/boot-file"
        cp "$work/boot-file" "$1.new" 2>/dev/null && chmod 755 "$1.new" || { bad refused "$1 can't be written (by $(id -un))" || return 1; }
    fi
    {
        sed -n '1{/^#!/p;}' "$work/boot-file"
        printf '%s\n' "$hook_line"
        sed '1{/^#!/d;}' "$work/boot-file"
    } >"$work/boot-new"
    if cat "$work/boot-new" >"$1.new" && fsync_file "$1.new" && mv -f "$1.new" "$1"; then
        fsync_dir "${1%/*}"
    else
        rm -f "$1.new"
        bad node "cannot write $1: is the disk full?"
    fi
}
