
# --- what a unit's runtime makes of start, stop and remove

# activate DIGEST FROM: run what the files of DIGEST say; FROM is what ran before. Files are in place.
activate() {
    manifest_load "$1" || return 1
    node_env || return 1
    if [ -n "$m_activate" ]; then
        program "$unit_dir" "$limit" activate "$m_activate"
        return
    fi
    case $m_runtime in
    compose) compose_activate "$1" "$2" ;;
    process) process_activate "$1" ;;
    esac
}

# start_again DIGEST: undo a stop.
start_again() {
    manifest_load "$1" || return 1
    if [ "$m_runtime" != process ] && [ -n "$m_start" ]; then
        node_env && program "$unit_dir" "$limit" start "$m_start"
    else
        activate "$1" "$1"
    fi
}

# stop_runtime DIGEST: end what runs, so that start_again brings it back.
stop_runtime() {
    manifest_load "$1" || return 1
    case $m_runtime in
    process) process_stop ;;
    compose)
        if [ -n "$m_stop" ]; then
            program "$unit_dir" "$limit" stop "$m_stop"
        else
            compose_each stop
        fi
        ;;
    *) [ -z "$m_stop" ] || program "$unit_dir" "$limit" stop "$m_stop" ;;
    esac
}

# remove_runtime DIGEST: remove what activation made besides files.
remove_runtime() {
    manifest_load "$1" || return 1
    if [ -n "$m_remove" ]; then
        program "$unit_dir" "$limit" remove "$m_remove" || return 1
    elif [ "$m_runtime" != process ] && [ -n "$m_stop" ]; then
        program "$unit_dir" "$limit" stop "$m_stop" || return 1
    fi
    case $m_runtime in
    compose) compose_remove ;;
    process) process_stop ;;
    esac
}

# other_runtime OLD NEW: when the way a unit is run changes, what the old way runs ends first. A service that an old
# manifest does not name is taken for the same.
other_runtime() {
    [ "$1" != - ] && [ "$1" != "$2" ] && [ -f "$unit_dir/$1.manifest" ] || return 0
    manifest_load "$1" || return 1
    other_before="$m_runtime $m_project"
    other_service=$m_service
    manifest_load "$2" || return 1
    if [ "$other_before" = "$m_runtime $m_project" ] &&
        [ "${other_service:-$m_service}" = "${m_service:-$other_service}" ]; then
        return 0
    fi
    has_heir "$1" || remove_runtime "$1"
}

# validate MOMENT [STAGE]: the unit's own validator, if it runs at this moment.
validate() {
    [ "$m_validation" = "$1" ] || return 0
    if [ -n "$m_validate" ]; then
        program "$cj_dir" 60 validate "$m_validate" "${2:-}"
    elif [ "$m_runtime" = compose ]; then
        compose_config "${2:-}"
    fi
}

# unit_logs N: the last lines that the unit's program logged.
unit_logs() {
    logs_digest=$current
    [ "$logs_digest" != - ] || logs_digest=$p_to
    manifest_load "$logs_digest" || return 1
    if [ -n "$m_logs" ]; then
        cj_dir=$work
        program "$work" 20 logs "$m_logs" || :
    elif [ "$m_runtime" = compose ]; then
        compose_logs "$1" >"$work/out" || return 1
    elif [ "$m_runtime" = process ] && [ -f "$unit_dir/log" ]; then
        cp "$unit_dir/log" "$work/out"
    else
        : >"$work/out"
    fi
    tell "$work/out" "$1"
}
