
# --- change, stop, put back: idempotent, and each finishes or undoes what an earlier one left

# asked_unit: sets unit_to and unit_from, and selects the unit, from the request's one `unit` line.
asked_unit() {
    asked unit | head -n 1 >"$work/unit"
    read -r asked_name unit_to unit_from <"$work/unit" || { bad refused "the request names no unit" || return 1; }
    for digest in "$unit_to" "$unit_from"; do
        [ "$digest" = - ] || is_digest "$digest" || { bad refused "not a digest: $digest" || return 1; }
    done
    asked replaces | cut -d ' ' -f 1 >"$work/replaces"
    unit_select "$asked_name"
}

# unit_hold: the selected unit is this process's alone, and nothing of an earlier contact still runs.
unit_hold() {
    unit_make || return 1
    lock "$unit_dir/lock" 120 || return 1
    cj_dir=$unit_dir
    job_settle "$unit_dir" || return 1
    # What a killed contact was about to write.
    rm -f "$unit_dir"/*.new "$unit_dir/kept"/*.new
    state_load
    claims_write
}

# begin FROM TO: what runs is recorded before the first touch, then the intent. What runs in the middle of a change that
# an earlier rollout left open may belong to its other side.
begin() {
    if [ -z "$p_rollout" ] && [ "$1" != - ]; then
        images_record "$1" || return 1
    fi
    if [ "$p_rollout" != "$rollout" ] && [ "$1" = - ]; then
        stack_record "$2" || return 1
    fi
    if [ "$2" != - ] && { [ "$p_rollout" != "$rollout" ] || [ "$p_to" != "$2" ]; }; then
        keep_foreign "$2" || return 1
    fi
    service_record "$1" "$2" || return 1
    lock "$root/mutex/holder" 30 || return 1
    begin_written "$1" "$2" || return 1
    unlock "$root/mutex/holder"
}

# begin_written FROM TO: the lease is armed, then the intent is written: nothing is changed that would not be taken back,
# and nothing any more once that has begun.
begin_written() {
    lease_arm || return 1
    if [ "$p_rollout" != "$rollout" ] || [ "$p_from" != "$1" ] || [ "$p_to" != "$2" ]; then
        begin_place
        pending_write "$1" "$2" || return 1
    fi
}

# begin_place: sets p_seq, the place in the order of changes. What another unit replaces comes back after that one.
begin_place() {
    [ -z "$p_seq" ] || return 0
    if [ -n "$replaced_by" ]; then
        p_seq=${begin_seq%.*}.0
        return
    fi
    take_list
    begin_last=${taking%% *}
    begin_last=${begin_last%.*}
    begin_last=${begin_last#"${begin_last%%[!0]*}"}
    p_seq=$(printf '%06d.1' "$((${begin_last:-0} + 1))")
    begin_seq=$p_seq
}

verb_change() {
    asked_unit || finish_bad
    unit_hold || finish_bad
    fence_check || finish_bad
    [ "$unit_to" != - ] || { bad refused "$unit: nothing to change to"; finish_bad; }
    manifest_whole "$unit_to" || finish_bad
    [ "$unit_from" = - ] || manifest_whole "$unit_from" || finish_bad
    begin "$unit_from" "$unit_to" || finish_bad
    stop_replaced || finish_bad
    if change_to "$unit_to" "$unit_from"; then
        state_set previous "$unit_from" && state_set current "$unit_to" || finish_bad
        finish_ok
    fi
    change_failed
}

# change_to TO FROM
change_to() {
    claims_write || return 1
    install_files "$1" || return 1
    remove_files "$1" || return 1
    manifest_load "$1" || return 1
    node_env || return 1
    validate switched || return 1
    other_runtime "$2" "$1" || return 1
    activate "$1" "$2"
}

# change_failed: the old version is brought back at once; the put-back that follows finds it so.
change_failed() {
    failed_kind=$kind
    failed_why=$why
    cp "$unit_dir/out" "$work/failed" 2>/dev/null || :
    if ! return_to "$unit_from" "$unit_to"; then
        failed_why="$failed_why; and going back failed: $why"
    fi
    [ ! -f "$work/failed" ] || tell "$work/failed"
    kind=$failed_kind
    why=$failed_why
    finish_bad
}

# return_to DIGEST FROM: files and runtime as DIGEST has them, whatever state they are in.
return_to() {
    kind='' why=''
    manifest_whole "$1" || { why="no way back: $why"; return 1; }
    if [ "$1" = - ]; then
        return_to_nothing "$2"
        return
    fi
    return_stopped=no
    [ "$p_to" != - ] || [ -z "$p_rollout" ] || return_stopped=yes
    install_files "$1" || return 1
    remove_files "$1" || return 1
    other_runtime "$2" "$1" || return 1
    if [ "$return_stopped" = yes ]; then
        start_again "$1" || return 1
    else
        activate "$1" "$2" || return 1
    fi
    service_return "$1" || return 1
    state_set current "$1" || return 1
    state_set previous "$p_previous"
}

# return_to_nothing TO: the unit is new; what it made goes, what others had there comes back and is felt again.
return_to_nothing() {
    return_what=$1
    [ "$return_what" != - ] || return_what=$p_to
    [ -f "$unit_dir/$return_what.manifest" ] || return_what=-
    return_taken=no
    [ ! -s "$unit_dir/kept/index" ] || return_taken=yes
    manifest_load "$return_what" || return 1
    taken_forget
    # A host program that others had set up runs on, with their files, if it ran.
    [ "$m_runtime" = host ] && service_ran "$m_service" || return_taken=no
    case $return_taken/$m_runtime in
    yes/* | */none) ;;
    *) remove_runtime "$return_what" || return 1 ;;
    esac
    remove_files - || return 1
    made_remove
    rm -f "$unit_dir/node.env"
    stack_return || return 1
    if [ "$return_taken" = yes ] && [ -n "$m_activate" ]; then
        # Whatever it says: it may be what failed.
        program_returned=yes
        program "$unit_dir" "$limit" activate "$m_activate" || kind='' why=''
        program_returned=
    fi
    service_return - || return 1
    state_set current - && state_set previous -
}

verb_put_back() {
    asked_unit || finish_bad
    unit_hold || finish_bad
    fence_check || finish_bad
    put_back "$unit_from" "$unit_to" || { tell "$unit_dir/out"; finish_bad; }
    start_replaced || { tell "$unit_dir/out"; finish_bad; }
    lease_rest || finish_bad
    finish_ok
}

# put_back FROM TO: nothing when the rollout never touched the unit, or put it back already.
put_back() {
    if [ -z "$p_rollout" ]; then
        if [ "$current" = "$1" ]; then
            unit_settle
            return
        fi
        pending_write "$1" "$2" || return 1
    fi
    return_to "$1" "$2" || return 1
    pending_clear
    claims_write
}

verb_stop() {
    asked_unit || finish_bad
    unit_hold || finish_bad
    fence_check || finish_bad
    stop_unit "$unit_from" || { tell "$unit_dir/out"; finish_bad; }
    finish_ok
}

# stop_unit FROM: the selected, held unit, on the way to its removal.
stop_unit() {
    manifest_whole "$1" || return 1
    begin "$1" - || return 1
    stop_runtime "$1"
}

# each_replaced FUNCTION: for every unit that the changed one replaces.
each_replaced() {
    replaced_by=$unit
    begin_seq=$p_seq
    while IFS= read -r replaced <&3; do
        unit_select "$replaced" || return 1
        [ -d "$unit_dir" ] || continue
        unit_hold || return 1
        "$1" || return 1
        unlock "$unit_dir/lock"
    done 3<"$work/replaces"
    unit_select "$replaced_by"
    replaced_by=
    cj_dir=$unit_dir
    state_load
}

stop_replaced() {
    each_replaced stop_one_replaced
}

stop_one_replaced() {
    [ "$current" = - ] || stop_unit "$current"
}

start_replaced() {
    each_replaced start_one_replaced
}

start_one_replaced() {
    [ -n "$p_rollout" ] || return 0
    put_back "$p_from" "$p_to"
}

# verb_bring_up: a unit that does not run is started in the version that it has; never while a rollout is open.
verb_bring_up() {
    asked_unit || finish_bad
    record_load
    [ -z "$r_holder" ] || lease_lapsed || { bad busy "held by $r_holder since $r_since (rollout $r_rollout)"; finish_bad; }
    [ -d "$unit_dir" ] || { bad refused "$unit is not on this node"; finish_bad; }
    unit_hold || finish_bad
    bring_up || { tell "$unit_dir/out"; finish_bad; }
    finish_ok
}

bring_up() {
    [ -z "$p_rollout" ] || { bad busy "$unit: the rollout $p_rollout left it half changed" || return 1; }
    if [ "$current" != "$unit_to" ] || [ "$current" = - ]; then
        bad refused "$unit changed since it was looked at: it runs $(short "$current")" || return 1
    fi
    : >"$unit_dir/out" || { bad node "cannot write below $root: is the disk full?" || return 1; }
    manifest_whole "$current" && activate "$current" "$current"
}

# remove_unit: the selected, held unit was stopped; its files and containers go now. The manifest stays as `previous`.
remove_unit() {
    cj_dir=$unit_dir
    state_load
    if [ "$current" != - ]; then
        remove_heir=yes
        has_heir "$current" || { remove_heir=no; remove_runtime "$current"; } || return 1
        taken_forget
        remove_files - || return 1
        made_remove
        rm -f "$unit_dir/node.env"
        if [ "$remove_heir" = no ] && [ -s "$unit_dir/kept/index" ]; then
            # Whatever it says: the decision stands, and the program and its files are others' again.
            service_return - || kind='' why=''
        fi
        state_set previous "$current" && state_set current - || return 1
    fi
    pending_clear
}

# has_heir DIGEST: whether another unit that runs here would be ended by the very command that ends this one: a gateway
# under a new name has the program by now.
has_heir() {
    manifest_load "$1" && [ -n "$m_remove" ] || return 1
    for heir_dir in "$root"/fleets/*/units/*/; do
        heir_dir=${heir_dir%/}
        if [ "$heir_dir" != "$unit_dir" ] && get_line "$heir_dir/current" &&
            grep -q -x -F "command remove $m_remove" "$heir_dir/$got.manifest" 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

# verb_restore UNIT [FLEET] | --all: by hand, or for every unit that a rollout left open. Speaks to people.
verb_restore() {
    work_open || { printf 'gitsync: %s\n' "$why" >&2; exit 1; }
    restore_status=0 restore_seen=no
    for restore_dir in "$root"/fleets/*/units/*/; do
        restore_dir=${restore_dir%/}
        restore_fleet=${restore_dir#"$root/fleets/"}
        restore_fleet=${restore_fleet%%/*}
        [ "${2:-$restore_fleet}" = "$restore_fleet" ] || continue
        if [ "$1" = --all ]; then
            [ -f "$restore_dir/pending" ] || continue
        elif [ "${restore_dir##*/}" != "$1" ]; then
            continue
        fi
        restore_seen=yes
        restore_one "$restore_fleet" "${restore_dir##*/}" || restore_status=1
    done
    leave
    if [ "$restore_seen" = no ]; then
        printf 'nothing to restore: no unit %s below %s\n' "$1" "$root/fleets" >&2
        [ "$1" = --all ] || restore_status=1
    fi
    exit "$restore_status"
}

# restore_one FLEET UNIT: to what ran before an open change, else to what ran before the last one.
restore_one() {
    fleet=$1
    fleet_dir=$root/fleets/$1
    record=$fleet_dir/record
    kind='' why=''
    if unit_select "$2" && unit_hold; then
        restore_to=$previous
        rollout=restore
        if [ -n "$p_rollout" ]; then
            restore_to=$p_from
        elif [ "$previous" = - ]; then
            bad refused "nothing ran before"
        fi
    fi
    if [ -z "$kind" ] && put_back "$restore_to" "$current"; then
        printf '%s/%s: restored to %s\n' "$fleet" "$2" "$(short "$restore_to")"
        unlock "$unit_dir/lock"
        return 0
    fi
    printf '%s/%s: not restored: %s\n' "$fleet" "$2" "$why" >&2
    [ ! -s "$unit_dir/out" ] || tail -n 20 "$unit_dir/out" >&2
    unlock "$unit_dir/lock"
    return 1
}
