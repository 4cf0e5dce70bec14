
# --- services of the host: the way they were found is the way back

# manifest_serves DIGEST SERVICE: whether that manifest is about this service of the host.
manifest_serves() {
    [ "$1" != - ] && grep -q -x -F -e "host-service $2" "$unit_dir/$1.manifest" 2>/dev/null
}

# service_state NAME: sets `service_active` and `service_enabled` to systemd's words for it; false without systemd.
service_state() {
    has systemctl || return 1
    service_active=$(systemctl is-active "$1" 2>/dev/null </dev/null | head -n 1)
    service_enabled=$(systemctl is-enabled "$1" 2>/dev/null </dev/null | head -n 1)
    service_active=${service_active:-unknown}
    service_enabled=${service_enabled:-unknown}
}

# service_runs WORD: whether systemd's word means that it runs, or is about to.
service_runs() {
    case $1 in
    active | activating | reloading | refreshing) return 0 ;;
    esac
    return 1
}

# service_record FROM TO: how the host's service is found, before the unit's first touch of it. What a pending change
# may have touched is no longer as it was found: what was written down before it counts.
service_record() {
    [ -n "$p_rollout" ] || service_settle || return 1
    manifest_load "$2" || return 1
    [ -n "$m_service" ] || return 0
    for record_digest in "$1" "$current" "$p_from" "$p_to" $p_also; do
        ! manifest_serves "$record_digest" "$m_service" || return 0
    done
    service_state "$m_service" || return 0
    {
        [ ! -f "$unit_dir/found" ] || SERVICE=$m_service awk '$1 != ENVIRON["SERVICE"]' "$unit_dir/found"
        printf '%s %s %s\n' "$m_service" "$service_active" "$service_enabled"
    } >"$work/found" && put_file "$unit_dir/found" <"$work/found" ||
        bad node "cannot write below $root: is the disk full?"
}

# service_ran NAME: whether it ran when it was found; taken for granted where nobody looked.
service_ran() {
    ran_active=$(SERVICE=$1 awk '$1 == ENVIRON["SERVICE"] { print $2; exit }' "$unit_dir/found" 2>/dev/null)
    service_runs "${ran_active:-active}"
}

# service_return DIGEST: what DIGEST does not run is as it was found.
service_return() {
    [ -f "$unit_dir/found" ] && has systemctl || return 0
    while read -r found_service found_active found_enabled <&4; do
        manifest_serves "$1" "$found_service" || service_as_found || return 1
    done 4<"$unit_dir/found"
}

service_as_found() {
    service_state "$found_service"
    [ "$service_enabled" = "$found_enabled" ] || service_enable || return 1
    if service_runs "$found_active"; then
        service_runs "$service_active" || service_start
        return
    fi
    ! service_runs "$service_active" || systemctl_do stop || return 1
    [ "$found_active" = failed ] || systemctl reset-failed "$found_service" >/dev/null 2>&1 </dev/null || :
}

# service_enable: states that are no choice of anybody's, such as `static`, come by themselves.
service_enable() {
    case $found_enabled in
    enabled) systemctl_do enable ;;
    enabled-runtime) systemctl_do disable && systemctl_do enable --runtime ;;
    masked) systemctl_do disable && systemctl_do mask ;;
    masked-runtime) systemctl_do disable && systemctl_do mask --runtime ;;
    *) systemctl_do disable ;;
    esac
}

service_start() {
    systemctl reset-failed "$found_service" >/dev/null 2>&1 </dev/null || :
    systemctl_do start && return 0
    bad node "$unit: $found_service, which ran before, does not start again: $(tail -n 1 "$unit_dir/out")"
}

# systemctl_do VERB [OPTION]: on the service that is made as it was found.
systemctl_do() {
    job "$unit_dir" "$limit" / env -i "PATH=$PATH" "HOME=$home" systemctl "$@" "$found_service" && return 0
    bad node "$unit: systemctl $* $found_service failed: $(tail -n 1 "$unit_dir/out")"
}

# service_settle: a change is decided or put back; how a service was found is of use as long as the unit runs it.
service_settle() {
    [ -f "$unit_dir/found" ] || return 0
    settle_now=-
    ! get_line "$unit_dir/current" || settle_now=$got
    while read -r found_service found_rest; do
        ! manifest_serves "$settle_now" "$found_service" || printf '%s %s\n' "$found_service" "$found_rest"
    done <"$unit_dir/found" >"$work/found"
    if [ ! -s "$work/found" ]; then
        rm -f "$unit_dir/found"
    elif ! cmp -s "$work/found" "$unit_dir/found"; then
        put_file "$unit_dir/found" <"$work/found"
    fi
}
