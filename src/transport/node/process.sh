
# --- processes that this script keeps

# process_load: sets k_pid, k_digest and process_state (running, dead, none) of the selected unit.
process_load() {
    process_state=none k_pid=- k_digest=-
    [ -f "$unit_dir/process" ] || return 0
    read -r k_pid k_start k_boot k_digest <"$unit_dir/process" || return 0
    process_state=dead
    if is_alive "$k_pid $k_start $k_boot"; then
        process_state=running
    fi
}

# process_activate DIGEST: running with this manifest's program and files afterwards. It is left alone when both are
# the same, reloaded when it can be and only files differ, and started anew otherwise.
process_activate() {
    process_load
    if [ "$process_state" = running ] && same_program "$k_digest" "$1"; then
        if same_files "$k_digest" "$1"; then
            process_note "$1"
            return
        elif [ -n "$m_reload" ]; then
            program "$unit_dir" "$limit" reload "$m_reload" || return 1
            process_note "$1"
            return
        fi
    fi
    process_stop || return 1
    manifest_load "$1" && process_start_new "$1"
}

# same_program A B: whether two manifests start the same program in the same place with the same environment.
same_program() {
    for same in "$1" "$2"; do
        sed -n -e '/^command start /p' -e '/^directory /p' -e '/^env /p' -e '/^sealed /p' "$unit_dir/$same.manifest" 2>/dev/null
        printf 'end\n'
    done >"$work/programs"
    awk '/^end$/ { block[++n] = text; text = ""; next } { text = text $0 "\n" } END { exit block[1] != block[2] }' \
        "$work/programs"
}

# process_note DIGEST: which manifest the running process is up to date with.
process_note() {
    [ "$k_digest" = "$1" ] && return 0
    printf '%s %s %s %s\n' "$k_pid" "$k_start" "$k_boot" "$1" >"$work/note" && put_file "$unit_dir/process" <"$work/note" ||
        bad node "cannot write $unit_dir/process"
}

process_start_new() {
    [ -n "$m_start" ] || { bad refused "$unit: the process has no start command" || return 1; }
    : >"$unit_dir/log"
    # shellcheck disable=SC2086 # nothing when there is no setsid
    $detach sh "$self" keep "$fleet" "$unit" "$1" "$me" </dev/null >>"$unit_dir/log" 2>&1 &
    keep_child=$!
    uptime_now
    keep_until=$((now + 1000))
    process_load
    while [ "$process_state" = none ] && process_start "$keep_child" && [ "$now" -lt "$keep_until" ]; do
        pause 2
        uptime_now
        process_load
    done
    pause 20
    process_load
    [ "$process_state" = running ] && return 0
    cp "$unit_dir/log" "$unit_dir/out"
    process_said=$(grep -v '^[[:space:]]*$' "$unit_dir/log" | tail -n 1)
    bad content "$unit: the process ended as soon as it was started${process_said:+: $process_said}"
}

# verb_keep FLEET UNIT DIGEST STARTER: becomes the process, after its own identity is on disk.
verb_keep() {
    fleet=$1
    fleet_dir=$root/fleets/$fleet
    unit_select "$2" || exit 1
    manifest_load "$3" || exit 1
    enter_start "$unit_dir" "$4" "$unit_dir/process" "$me $3" || exit 1
    cd "$m_directory" 2>/dev/null || cd / || exit 1
    umask 022
    # Values of node files are read from a file by a second shell: arguments can be seen by every user.
    # shellcheck disable=SC2016 # expanded by that shell
    exec env -i "PATH=$PATH" "HOME=$home" "GITSYNC_UNIT=$unit" "GITSYNC_FLEET=$fleet" \
        "GITSYNC_DIRECTORY=$m_directory" sh -c '
        if [ -f "$1" ]; then
            while IFS= read -r line; do
                export "$line"
            done <"$1"
        fi
        exec sh "$2"' sh "$unit_dir/node.env" "$root/blobs/$m_start"
}

# process_stop: asked by its stop command or a signal, made to after 10 s. Nothing is left of its session, also when the
# process itself was killed before and left children behind.
process_stop() {
    process_load
    process_list
    if [ "$process_state" = running ]; then
        if [ -n "$m_stop" ]; then
            program "$unit_dir" 30 stop "$m_stop" || :
        else
            process_signal TERM
        fi
        uptime_now
        stop_until=$((now + 1000))
        stop_step=1
        while is_alive "$k_pid $k_start $k_boot"; do
            uptime_now
            if [ "$now" -ge "$stop_until" ]; then
                process_signal KILL
            fi
            if [ "$now" -ge "$((stop_until + 500))" ]; then
                bad node "$unit: process $k_pid does not end" || return 1
            fi
            pause "$stop_step"
            [ "$stop_step" -ge 20 ] || stop_step=$((stop_step * 2))
        done
        # Children that outlived their parent belong to the same session.
        process_signal KILL
    fi
    end_listed "$work/session"
    rm -f "$unit_dir/process"
}

# process_list: what belongs to the kept process goes to $work/session. Of a dead one's session only what bears the
# unit's name in its environment: its number can have gone to another by now.
process_list() {
    : >"$work/session"
    if [ "$process_state" = running ]; then
        [ -n "$detach" ] || descendants "$k_pid" >"$work/session"
    elif [ "$process_state" = dead ] && [ "$k_boot" = "$boot" ]; then
        processes | awk -v session="$k_pid" '$5 == session' >"$work/left"
        while read -r left_pid left_rest; do
            tr '\000' '\n' <"/proc/$left_pid/environ" 2>/dev/null >"$work/environ"
            grep -q -x -F -e "GITSYNC_UNIT=$unit" "$work/environ" || continue
            ! grep -q -x -F -e "GITSYNC_FLEET=$fleet" "$work/environ" ||
                printf '%s %s\n' "$left_pid" "$left_rest" >>"$work/session"
        done <"$work/left"
    fi
}

process_signal() {
    if [ -n "$detach" ]; then
        kill "-$1" "-$k_pid" 2>/dev/null || :
    else
        kill "-$1" "$k_pid" 2>/dev/null || :
    fi
}
