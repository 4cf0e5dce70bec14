
# --- unlock: an operator ends another's hold; what it changed here is taken back

# verb_unlock: `nonce` names the hold that is meant, so that no later one is ended; `holder` says who ends it, `why` why.
# Killed midway: the same verb, a boot or the next rollout takes the rest back.
verb_unlock() {
    lock "$fleet_dir/restorer" 120 || finish_bad
    lock "$root/mutex/holder" 30 || finish_bad
    record_load
    if [ -z "$r_holder" ]; then
        # One that was cut short: the hold is over, and not all of it is taken back.
        [ "$r_nonce" = "unlocked.$nonce" ] && [ -f "$marker" ] || { halves_go && finish_ok; }
    elif [ "$nonce" = "$r_nonce" ]; then
        unlock_hold || finish_bad
    else
        bad busy "by now it is held by $r_holder (rollout $r_rollout)"
        finish_bad
    fi
    unlock "$root/mutex/holder"
    unlock_rest || finish_bad
    finish_ok
}

# unlock_hold: the hold is over, and the record says who ended it. The caller holds the mutex.
unlock_hold() {
    unlock_why="unlocked by $(one_line "$holder"): $(one_line "$(asked why | head -n 1)")"
    if marker_load; then
        marker_state taking "$unlock_why" || return 1
    fi
    {
        printf 'unlocked %s %s %s\n' "$r_rollout" "$at" "$unlock_why"
        record_rest -e '^unlocked '
    } >"$work/rest" || bad node "cannot write $record: is the disk full?" || return 1
    # Whoever held it is behind from now on, whatever it still sends.
    r_fence=$((r_fence + 1)) r_nonce=unlocked.$nonce r_holder=''
    record_put <"$work/rest"
}

# unlock_rest: one pass over what is half-way; what is stuck stays for the next rollout.
unlock_rest() {
    take_stuck=
    ! take_all || [ -z "$take_stuck" ] || { bad node "$take_stuck can't be taken back: $take_why" || return 1; }
    lock "$root/mutex/holder" 30 || return 1
    rm -f "$marker"
    halves_go
    fsync_dir "$fleet_dir"
    watcher_end
    unlock "$root/mutex/holder"
}
