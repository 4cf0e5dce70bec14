#!/bin/sh
# The part of gitsync that runs on a node. It needs a POSIX shell, POSIX utilities, tar and sha256sum.
# Usage: sh <root>/bin/gitsync-node-<digest>.sh <verb>, with the request on standard input;
#        sh <root>/bin/gitsync-node-<digest>.sh restore <unit>, by hand.
# Rule of the whole text: after a kill at any point, the next contact finishes or undoes what was begun.
# shellcheck disable=SC2012 # ls is what POSIX has to tell modes and owners; names are absolute and printable
# shellcheck disable=SC2015 # `A && B || { bad …; }` is meant: either failing is the failure
# shellcheck disable=SC2016 # programs for awk and inner shells stand in single quotes
set -u
umask 077
LC_ALL=C
export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset CDPATH ENV BASH_ENV
IFS=' 	
'
# Caught, not ignored: programs started from here must find these signals at their defaults.
trap : PIPE HUP

case $0 in
/*) self=$0 ;;
*) self=$(pwd -P)/$0 ;;
esac
root=$(cd -P "${self%/*}/.." && pwd -P) || exit 1
self=$root/bin/${self##*/}
cd / || exit 1

verb=${1:-}
uid=$(id -u)
gid=$(id -g)
home=${HOME:-/}
work=
locks=
kind=
why=
entered=
replaced_by=
begin_seq=
boot=-
read -r boot </proc/sys/kernel/random/boot_id
newline='
'

# bad KIND MESSAGE: remember why something failed; always false.
bad() {
    kind=$1
    why=$2
    return 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# one_line TEXT: without control characters, on one line.
one_line() {
    printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037\177'
}

# tell FILE: the last lines of a program's output, as log lines of the answer.
tell() {
    [ -s "$1" ] || return 0
    tail -n "${2:-40}" "$1" | tr '\t' ' ' | tr -d '\000-\011\013-\037\177' | cut -c 1-2000 | sed 's/^/log /'
}

# leave: give back what this process holds.
leave() {
    while [ -n "$locks" ]; do
        unlock "${locks%%"$newline"*}"
    done
    if [ -n "$work" ]; then
        rm -rf "$work"
    fi
}

finish_ok() {
    leave
    printf 'end ok\n'
    exit 0
}

finish_bad() {
    leave
    printf 'end failed %s %s\n' "${kind:-node}" "$(one_line "$why")"
    exit 0
}

# uptime_now: sets `now` to hundredths of a second since boot; the wall clock is never trusted for waiting.
uptime_now() {
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
}

# process_start PID: sets `started` to the process's start time, and `parent_id` and `session_id`; false when there is
# none, or only its corpse.
process_start() {
    started=
    { read -r stat_line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name in parentheses may hold anything, so fields are counted from the last parenthesis.
    stat_line=${stat_line##*) }
    # shellcheck disable=SC2086 # fields are meant to split
    set -- $stat_line
    case $1 in Z | X) return 1 ;; esac
    parent_id=$2
    session_id=$4
    started=${20}
}

# is_alive "PID START BOOT": whether exactly that process still runs.
is_alive() {
    # shellcheck disable=SC2086 # fields are meant to split
    set -- $1
    [ $# -ge 3 ] && [ "$3" = "$boot" ] && process_start "$1" && [ "$started" = "$2" ]
}

# processes: a line `pid start boot parent session` for each process. Read one by one: names may hold line breaks.
processes() {
    for process_at in /proc/[0-9]*; do
        process_at=${process_at#/proc/}
        process_start "$process_at" && printf '%s %s %s %s %s\n' "$process_at" "$started" "$boot" "$parent_id" "$session_id"
    done
}

# descendants PID: those lines for all that came from a process, and for itself.
descendants() {
    processes | awk -v top="$1" '
        { line[$1] = $0; parent[$1] = $4 }
        END {
            for (id in line) {
                steps = 0
                for (up = id; up != top && (up in parent) && steps < 1000; up = parent[up]) steps++
                if (up == top) print line[id]
            }
        }'
}

# end_listed FILE: makes an end of the processes in it that are still the ones that were listed. They stand still first:
# a shell whose child is ended before it would go on with what comes next.
end_listed() {
    while IFS= read -r listed; do
        ! is_alive "$listed" || kill -STOP "${listed%% *}" 2>/dev/null || :
    done <"$1"
    while IFS= read -r listed; do
        ! is_alive "$listed" || kill -KILL "${listed%% *}" 2>/dev/null || :
    done <"$1"
}

process_start $$
me="$$ $started $boot"

# pause N: about N hundredths of a second, a whole second where sleep knows no fractions.
pause() {
    sleep "$(($1 / 100)).$(($1 % 100 / 10))$(($1 % 10))" 2>/dev/null || sleep 1
}

# lock_owner PATH: sets `owner`; a lock is a symbolic link whose target names its holder, made in one step.
lock_owner() {
    owner=$(ls -ld "$1" 2>/dev/null) || return 1
    owner=${owner##* -> }
}

# lock PATH SECONDS: take it, from a dead holder too; waits so long for a living one.
lock() {
    uptime_now
    lock_until=$((now + $2 * 100))
    until ln -s "$me" "$1" 2>/dev/null; do
        [ -d "${1%/*}" ] || { bad node "no directory ${1%/*}" || return 1; }
        lock_owner "$1" || {
            [ -w "${1%/*}" ] || { bad node "cannot write below ${1%/*}" || return 1; }
        }
        if [ -n "$owner" ] && ! is_alive "$owner"; then
            lock_break "$1"
            continue
        fi
        uptime_now
        if [ "$now" -ge "$lock_until" ]; then
            bad busy "process ${owner%% *} on the node still works on ${1##*/units/}" || return 1
        fi
        pause 10
    done
    locks="$1$newline$locks"
}

# lock_break PATH: remove a dead holder's lock. A second lock keeps two breakers from removing a fresh one.
lock_break() {
    if ln -s "$me" "$1.breaker" 2>/dev/null; then
        if lock_owner "$1" && ! is_alive "$owner"; then
            rm -f "$1"
        fi
        rm -f "$1.breaker"
    elif lock_owner "$1.breaker" && ! is_alive "$owner"; then
        rm -f "$1.breaker"
    else
        pause 5
    fi
}

unlock() {
    rm -f "$1"
    unlock_left=
    while [ -n "$locks" ]; do
        unlock_one=${locks%%"$newline"*}
        locks=${locks#*"$newline"}
        [ "$unlock_one" = "$1" ] || unlock_left="$unlock_left$unlock_one$newline"
    done
    locks=$unlock_left
    return 0
}

# fsync_file PATH: dd opens it, writes nothing and syncs it.
fsync_file() {
    dd if=/dev/null of="$1" conv=notrunc,fsync 2>/dev/null
}

# fsync_dir PATH: where sync takes no names it syncs everything, which is slower and as good.
fsync_dir() {
    sync "$1" 2>/dev/null || sync 2>/dev/null || :
}

# put_file PATH: standard input becomes the file, wholly or not at all. Never at the end of a pipeline: that part of it
# would outlive a killed script, and write behind the next contact's back.
put_file() {
    if cat >"$1.new" && fsync_file "$1.new" && mv -f "$1.new" "$1"; then
        fsync_dir "${1%/*}"
    else
        bad node "cannot write $1"
    fi
}

# get_line PATH: sets `got` to the first line of a file; false when there is none.
get_line() {
    got=
    { read -r got <"$1"; } 2>/dev/null
    [ -n "$got" ]
}

# work_open: a private directory for this process; those of dead ones are removed.
work_open() {
    mkdir -p "$root/tmp" 2>/dev/null || { bad node "cannot write below $root" || return 1; }
    for work_old in "$root/tmp"/*; do
        [ -d "$work_old" ] || continue
        work_who=${work_old##*/}
        is_alive "${work_who%.*} ${work_who#*.} $boot" && continue
        # What only looked, for a script that was killed, has nobody to look for any more.
        if [ -f "$work_old/job" ]; then
            job_dir=$work_old
            job_kill
        fi
        rm -rf "$work_old"
    done
    work_who=${me#* }
    work=$root/tmp/$$.${work_who%% *}
    mkdir "$work" 2>/dev/null && printf '%s\n' "$me" >"$work/starter" || {
        # A process that tries again would find its own.
        rm -rf "$work"
        work=
        bad node "cannot write below $root: is the disk full?"
    }
}

# quote_lines: for xargs, so that any name is one argument.
quote_lines() {
    sed 's/[^A-Za-z0-9_./-]/\\&/g'
}

is_digest() {
    case $1 in
    *[!0-9a-f]*) return 1 ;;
    esac
    [ ${#1} -eq 64 ]
}

is_blob_name() {
    is_digest "${1#k}"
}
