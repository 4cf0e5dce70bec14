
# --- unlock: an operator ends another's hold; what it changed here is taken back

# verb_unlock: `nonce` names the hold that is meant, so that no later one is ended; `holder` says who ends it, `why` why.
# Killed midway: the hold is over, and a boot or the next rollout takes the rest back.
verb_unlock() {
    lock "$fleet_dir/restorer" 120 || finish_bad
    lock "$root/mutex/holder" 30 || finish_bad
    record_load
    [ -n "$r_holder" ] || finish_ok
    if [ "$nonce" != "$r_nonce" ]; then
        bad busy "by now it is held by $r_holder (rollout $r_rollout)"
        finish_bad
    fi
    unlock_why="unlocked by $(one_line "$holder"): $(one_line "$(asked why | head -n 1)")"
    marker_load && marker_state taking "$unlock_why"
    {
        printf 'unlocked %s %s %s\n' "$r_rollout" "$at" "$unlock_why"
        record_rest -e '^unlocked '
    } >"$work/rest"
    # Whoever held it is behind from now on, whatever it still sends.
    r_fence=$((r_fence + 1)) r_nonce=unlocked.$nonce r_holder=''
    record_put <"$work/rest" || finish_bad
    unlock "$root/mutex/holder"
    unlock_rest || finish_bad
    finish_ok
}

# unlock_rest: one pass over what is half-way; what is stuck stays for the next rollout.
unlock_rest() {
    : >"$work/stuck"
    ! take_all || [ ! -s "$work/stuck" ] || {
        bad node "$(cut -d ' ' -f 1 "$work/stuck" | tr '\n' ' ')can't be taken back: $(sed '1s/^[^ ]* //;q' "$work/stuck")" || return 1
    }
    lock "$root/mutex/holder" 30 || return 1
    rm -f "$marker"
    fsync_dir "$fleet_dir"
    watcher_end
    unlock "$root/mutex/holder"
}
