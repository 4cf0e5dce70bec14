
# --- the lease: what a rollout changes here stands only as long as its controller is heard, or until it is confirmed
#
# marker    says that a rollout is open: written before the first change, removed by the decision and by the end
# lease     when the controller was last heard, on the uptime of one boot; the wall clock is never looked at
# watcher   the process that takes everything back when the lease lapses
#
# Who takes back writes so into the marker first, under the mutex; what comes from the rollout later is refused.

# marker_load: sets the mk_ variables; false when no rollout is open. mk_state: open, taking or taken.
marker_load() {
    mk_rollout='' mk_nonce='' mk_boot='' mk_dead_man=off mk_state=open mk_why=''
    [ -f "$marker" ] || return 1
    while read -r mk_key mk_value; do
        case $mk_key in
        rollout) mk_rollout=$mk_value ;;
        nonce) mk_nonce=$mk_value ;;
        boot) mk_boot=$mk_value ;;
        dead-man) mk_dead_man=$mk_value ;;
        back) mk_state=${mk_value%% *} mk_why=${mk_value#* } ;;
        esac
    done <"$marker"
    is_number "$mk_dead_man" || mk_dead_man=off
    return 0
}

# marker_write: before anything changes, what a boot hook or a lease needs to restore this rollout's units.
marker_write() {
    {
        printf 'rollout %s\nfence %s\nnonce %s\nboot %s\ndead-man %s\nscript %s\n' \
            "$rollout" "$fence" "$nonce" "$boot" "$dead_man" "${self##*/}"
        sed -n '/^unit /p' "$work/request"
    } >"$work/marker" && put_file "$marker" <"$work/marker" || {
        bad node "cannot write $marker: is the disk full?"
    }
}

# marker_state STATE WHY: that the changes are being taken back, or were. The caller holds the mutex.
marker_state() {
    {
        grep -v '^back ' "$marker"
        printf 'back %s %s\n' "$1" "$2"
    } >"$work/marker" && put_file "$marker" <"$work/marker" || {
        bad node "cannot write $marker: is the disk full?"
    }
}

# marker_stands: whether this request's rollout is open, and its changes are not taken back, or about to be: what was
# changed before a boot is, by the boot hook or by the next rollout. The caller holds the mutex.
marker_stands() {
    marker_load && [ "$mk_nonce" = "$nonce" ] || { bad refused "no rollout is open on this node" || return 1; }
    [ "$mk_state" = open ] || { bad restored "this node took back what rollout $mk_rollout changed: $mk_why" || return 1; }
    [ "$mk_boot" != "$boot" ] || return 0
    work_need || return 1
    take_list
    [ -z "$taking" ] || { bad restored "this node booted in the middle of rollout $mk_rollout" || return 1; }
    sed "s/^boot .*/boot $boot/" "$marker" >"$work/marker" && put_file "$marker" <"$work/marker" ||
        bad node "cannot write $marker: is the disk full?"
}

# lease_touch: the controller was heard. Written over what is there, at the same length: a full disk has room for that.
# Not synced: another boot is another lease in any case.
lease_touch() {
    uptime_now
    printf '%-79s\n' "$now $boot" 1<>"$fleet_dir/lease" || bad node "cannot write below $root: is the disk full?"
}

# lease_left: sets `left` to the hundredths of a second that the loaded marker's lease still runs; 0 when it lapsed.
lease_left() {
    left=0
    { read -r lease_at lease_boot _ <"$fleet_dir/lease"; } 2>/dev/null || return 0
    [ "$lease_boot" = "$boot" ] && is_number "$lease_at" || return 0
    uptime_now
    left=$((lease_at + mk_dead_man * 100 - now))
    [ "$left" -gt 0 ] || left=0
}

# lease_lapsed: whether whoever holds the fence was not heard for too long, so that the node is free again. Without a
# lease it never is, and while changes are being taken back not yet.
lease_lapsed() {
    marker_load && [ "$mk_dead_man" != off ] || return 1
    case $mk_state in
    taken) return 0 ;;
    taking) ! restorer_lives ;;
    *) lease_left && [ "$left" -eq 0 ] && ! watcher_lives ;;
    esac
}

restorer_lives() {
    lock_owner "$fleet_dir/restorer" && is_alive "$owner"
}

watcher_lives() {
    get_line "$fleet_dir/watcher" && is_alive "$got"
}

# lease_arm: before a change: nothing is touched that would not be taken back. The caller holds the mutex.
lease_arm() {
    marker_stands || return 1
    lease_touch || return 1
    [ "$mk_dead_man" = off ] || watcher_ensure
}

# watcher_ensure: a process of its own that outlives this one and its session.
watcher_ensure() {
    if watcher_lives && [ "${got##* }" = "$mk_nonce" ]; then
        return 0
    fi
    watcher_end
    # A session's processes may be ended with it; what the service manager starts is no session's.
    if [ "$uid" -eq 0 ] && [ -d /run/systemd/system ] && has systemd-run; then
        systemd-run --quiet --collect --property=KillMode=process --description="gitsync: lease of $mk_rollout" \
            sh "$self" watch "$fleet" "$mk_nonce" </dev/null >/dev/null 2>&1 && watcher_awaited 300 && return 0
    fi
    # shellcheck disable=SC2086 # nothing when there is no setsid
    $detach sh "$self" watch "$fleet" "$mk_nonce" </dev/null >/dev/null 2>&1 &
    watcher_awaited 1000 || bad node "the lease can't be armed: no process can be left behind"
}

# watcher_awaited HUNDREDTHS: until the watcher has written itself down.
watcher_awaited() {
    uptime_now
    watcher_until=$((now + $1))
    until watcher_lives && [ "${got##* }" = "$mk_nonce" ]; do
        uptime_now
        [ "$now" -lt "$watcher_until" ] || return 1
        pause 1
    done
}

# watcher_end: nobody watches any more. Only what is written down is ended, with what it waits for.
watcher_end() {
    if watcher_lives; then
        # Its number may be that of a group only when it made one.
        kill -KILL "-${got%% *}" 2>/dev/null || {
            work_need || return 1
            descendants "${got%% *}" >"$work/watcher"
            end_listed "$work/watcher"
        }
    fi
    rm -f "$fleet_dir/watcher"
}

# lease_rest: once nothing is changed any more, nobody has to watch.
lease_rest() {
    lock "$root/mutex/holder" 30 || return 1
    halves_go
    take_list
    [ -n "$taking" ] || watcher_end
    unlock "$root/mutex/holder"
}

# work_need: a word does without a private directory for as long as it can: it must come through on a full disk, too.
work_need() {
    [ -n "$work" ] || work_open
}

# verb_hold: a word from the controller; the answer says whether what it changed still stands.
verb_hold() {
    lock "$root/mutex/holder" 30 || finish_bad
    fence_check || finish_bad
    marker_stands || finish_bad
    lease_touch || finish_bad
    # Whoever killed the watcher did not mean the lease.
    [ "$mk_dead_man" = off ] || [ ! -f "$fleet_dir/watcher" ] || watcher_ensure || finish_bad
    finish_ok
}

# --- taking back

# fleet_select NAME: for what has no request.
fleet_select() {
    is_word "$1" || { bad refused "not a fleet's name: $1" || return 1; }
    fleet=$1
    fleet_dir=$root/fleets/$fleet
    record=$fleet_dir/record
    marker=$fleet_dir/rollout
}

# verb_watch FLEET NONCE: waits for the lease to lapse; ends when the rollout does.
verb_watch() {
    fleet_select "$1" && is_word "$2" || exit 1
    printf '%s %s\n' "$me" "$2" >"$fleet_dir/watcher.new" && mv -f "$fleet_dir/watcher.new" "$fleet_dir/watcher" || exit 1
    watch_pause=50
    while marker_load && [ "$mk_nonce" = "$2" ] && [ "$mk_state" = open ]; do
        lease_left
        if [ "$left" -eq 0 ]; then
            take_back "$2" lapsed "it heard nothing from its controller for $mk_dead_man s" && break
            # It could not even begin: a full disk must not be the end of the promise.
            leave
            left=$watch_pause
            [ "$watch_pause" -ge 3200 ] || watch_pause=$((watch_pause * 2))
        fi
        [ "$left" -le 1000 ] || left=1000
        pause "$left"
    done
    leave
}

# verb_boot FLEET: after a boot, whatever the clock says. A marker of this boot is its watcher's.
verb_boot() {
    fleet_select "$1" || exit 1
    marker_load || exit 0
    [ "$mk_boot" != "$boot" ] || exit 0
    boot_nonce=$mk_nonce boot_pause=50
    until take_back "$boot_nonce" booted "it booted in the middle of the rollout" || [ "$boot_pause" -gt 25600 ]; do
        leave
        pause "$boot_pause"
        boot_pause=$((boot_pause * 2))
    done
    leave
}

# take_back NONCE lapsed|booted WHY: decides, then restores everything in reverse; tried again for ten minutes where it fails: an engine
# may be on its way up. A kill midway leaves the marker and what is still pending to the next boot or contact. False: it
# could not be decided.
take_back() {
    work_open && lock "$fleet_dir/restorer" 60 || return 1
    take_decide "$1" "$2" "$3" || return 1
    [ "$take_it" = yes ] || return 0
    take_pause=200
    while take_all; do
        if [ -z "$take_stuck" ] || [ "$take_pause" -gt 25600 ]; then
            take_record "$1" "$3" && break
        fi
        [ "$take_pause" -le 25600 ] || break
        pause "$take_pause"
        take_pause=$((take_pause * 2))
    done
    unlock "$fleet_dir/restorer"
}

# take_decide NONCE lapsed|booted WHY: under the mutex, so that a word from the controller came either before or too late.
# Sets take_it; false when that could not be found out or written down.
take_decide() {
    lock "$root/mutex/holder" 60 || return 1
    halves_go
    unit_halves_go
    take_it=no
    if marker_load && [ "$mk_nonce" = "$1" ]; then
        case $mk_state in
        open)
            [ "$2" = booted ] || lease_left
            take_list
            # Nothing changed, nothing to take back: the controller may go on.
            if [ -n "$taking" ] && { [ "$2" = booted ] || [ "$left" -eq 0 ]; }; then
                take_it=yes
            fi
            ;;
        taking) take_it=yes ;;
        esac
    fi
    [ "$take_it" = no ] || marker_state taking "$3" || return 1
    unlock "$root/mutex/holder"
}

# unit_halves_go: what contacts that were cut short had half written for units that nobody is at work on; who begins just
# now waits for the mutex before it writes.
unit_halves_go() {
    for half_dir in "$fleet_dir"/units/*/; do
        half_dir=${half_dir%/}
        lock_owner "$half_dir/lock" && is_alive "$owner" || rm -f "$half_dir"/*.new "$half_dir/kept"/*.new
    done
}

# take_list: sets `taking` to lines `seq unit` of what is half-way, the last one changed first; in a variable, which a full
# disk can't cut short.
take_list() {
    taking=$(
        for take_dir in "$fleet_dir"/units/*/; do
            [ -f "${take_dir}pending" ] || continue
            take_seq=$(sed -n 's/^seq //p' "${take_dir}pending")
            printf '%s %s\n' "${take_seq:-000000.0}" "$(basename "$take_dir")"
        done | sort -r
    )
}

# take_all: one pass; sets take_stuck to the units that could not be restored, and take_why to what stood in the first
# one's way: in variables, as it may be the disk that is full. False when there is nothing more to do here.
take_all() {
    marker_load && [ "$mk_state" = taking ] || return 1
    take_stuck='' take_why=''
    take_list
    # shellcheck disable=SC2086 # words are meant to split
    set -- $taking
    while [ $# -gt 1 ]; do
        if ! take_one "$2"; then
            take_why=${take_why:-$(one_line "$why")}
            take_stuck="$take_stuck${take_stuck:+ }$2"
        fi
        shift 2
    done
}

# take_one UNIT: what still works on it is ended first: whoever began it is not heard any more.
take_one() {
    kind='' why=''
    rollout=$mk_rollout
    unit_select "$1" || return 1
    if lock_owner "$unit_dir/lock" && is_alive "$owner"; then
        # This watcher may have been started by it.
        descendants "${owner%% *}" | grep -v "^$$ " >"$work/owner"
        end_listed "$work/owner"
    fi
    job_dir=$unit_dir
    job_kill
    if ! unit_hold; then
        # Or the next attempt would wait for this one.
        case $newline$locks in
        *"$newline$unit_dir/lock$newline"*) unlock "$unit_dir/lock" ;;
        esac
        return 1
    fi
    take_done=no
    if [ -z "$p_rollout" ] || put_back "$p_from" "$p_to"; then
        take_done=yes
    fi
    leave_directory
    unlock "$unit_dir/lock"
    [ "$take_done" = yes ]
}

# take_record NONCE WHY: the node's own record says what happened here, and what did not succeed.
take_record() {
    lock "$root/mutex/holder" 60 || return 1
    take_recorded "$1" "$2"
    take_result=$?
    unlock "$root/mutex/holder"
    return "$take_result"
}

take_recorded() {
    marker_load && [ "$mk_nonce" = "$1" ] && [ "$mk_state" = taking ] || return 0
    record_load
    # What is still half-way, whatever was told on the way.
    take_list
    take_left=$(printf '%s' "$taking" | cut -d ' ' -f 2 | tr '\n' ',')
    take_left=${take_left%,}
    {
        printf 'restored %s %s000 %s %s\n' "$mk_rollout" "$(date +%s)" "${take_left:--}" "$2"
        record_rest -e '^restored '
    } >"$work/rest" || return 1
    [ -z "$r_nonce" ] || record_put <"$work/rest" || return 1
    marker_state taken "$2" || return 1
    # Under the mutex: no other rollout's watcher is on its way here.
    rm -f "$fleet_dir/watcher"
}
