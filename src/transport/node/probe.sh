
# --- probe: the node's share of a unit's health, over the whole budget

verb_probe() {
    asked_name=
    read -r _ asked_name _ <"$work/request.unit" || :
    unit_select "$asked_name" || finish_bad
    state_load
    [ "$current" != - ] || { bad refused "$unit runs nothing on this node"; finish_bad; }
    manifest_load "$current" || finish_bad
    probe_seconds=$(((timeout + 99) / 100))
    probe_checks
    uptime_now
    probe_begin=$now
    probe_failures=0
    probe_good=
    probe_seen=
    probe_budget=$((start_period + (interval + timeout) * (retries + 1) + stable_for))
    while :; do
        probe_text=
        probe_key=
        uptime_now
        probe_at=$((now - probe_begin))
        if probe_once; then
            probe_passed
        else
            probe_missed
        fi
        uptime_now
        if [ "$((now - probe_begin))" -gt "$probe_budget" ]; then
            probe_end "not healthy and stable within $((probe_budget / 100)) s"
        fi
        pause "$interval"
    done
}

# probe_passed: good; done when it has been the same good for long enough.
probe_passed() {
    if [ -n "$probe_good" ] && [ "$probe_key" != "$probe_seen" ]; then
        probe_text="restarted since it was good"
        probe_missed
        # What runs now may become stable yet.
        probe_good=$now
        probe_seen=$probe_key
        return
    fi
    printf 'attempt %s pass %s\n' "$((probe_at * 10))" "$(one_line "${probe_text:-good}")"
    uptime_now
    if [ -z "$probe_good" ]; then
        probe_good=$now
        probe_seen=$probe_key
    fi
    [ "$((now - probe_good))" -lt "$stable_for" ] || finish_ok
}

probe_missed() {
    printf 'attempt %s fail %s\n' "$((probe_at * 10))" "$(one_line "$probe_text")"
    probe_good=
    [ "$probe_at" -ge "$start_period" ] || return 0
    probe_failures=$((probe_failures + 1))
    [ "$probe_failures" -le "$retries" ] || probe_end "$probe_text"
}

probe_end() {
    unit_logs 20
    bad content "$unit: $1"
    finish_bad
}

# probe_checks: one file per exec check, made of its lines.
probe_checks() {
    awk -v dir="$work" '
        /^check exec / { n++; file = dir "/check." n; sub(/^check exec /, ""); print > (dir "/where." n); printf "" > file; next }
        /^exec / { sub(/^exec /, ""); print > file }
        END { print n + 0 > (dir "/checks") }' "$work/request"
    read -r probe_execs <"$work/checks"
    probe_running=no
    if asked check | grep -q -x running; then
        probe_running=yes
    fi
}

# probe_once: one attempt; sets probe_text, and probe_key to what must not change while it is good.
probe_once() {
    if [ "$probe_running" = yes ]; then
        probe_is_running || return 1
    fi
    probe_number=0
    while [ "$probe_number" -lt "$probe_execs" ]; do
        probe_number=$((probe_number + 1))
        probe_exec || return 1
    done
}

probe_is_running() {
    case $m_runtime in
    process)
        process_load
        probe_key=$k_pid
        [ "$process_state" = running ] || { probe_text="the process does not run"; return 1; }
        ;;
    compose) probe_containers ;;
    esac
}

# probe_containers: every service of the manifest has a container that runs and is healthy if it can tell; one that
# ends by design has ended well.
probe_containers() {
    unit_containers -a || { probe_text="docker does not answer"; return 1; }
    container_states <"$work/ids" | cut -d ' ' -f 2- >"$work/states"
    manifest_lines service >"$work/services"
    probe_text=$(awk '
        part == "services" { name[++n] = $1; once[$1] = $2 == "once"; next }
        {
            # service, id, image, status, health, restarts, exit status, start, name
            seen[$1] = 1
            if (once[$1]) {
                if ($4 != "exited") text = text $1 " is " $4 ", not done; "
                else if ($7 != 0) text = text $1 " ended with status " $7 "; "
            } else if (!($1 in once)) next
            else if ($4 != "running") text = text $1 " is " $4 ($4 == "exited" ? " with status " $7 : "") "; "
            else if ($5 != "-" && $5 != "healthy") text = text $1 " is " $5 "; "
        }
        END {
            for (i = 1; i <= n; i++) if (!(name[i] in seen)) text = text name[i] " has no container; "
            sub(/; $/, "", text)
            print text
        }' part=services "$work/services" part=states "$work/states")
    [ -z "$probe_text" ] || return 1
    probe_key=$(awk 'part == "services" { if ($2 == "once") once[$1] = 1; next } !($1 in once) { print $2, $6, $8 }' \
        part=services "$work/services" part=states "$work/states" | sort)
}

# probe_exec: a command on the node, or in a service's container; exit status 0 is good.
probe_exec() {
    read -r probe_where <"$work/where.$probe_number"
    if [ "$probe_where" = - ]; then
        job "$work" "$probe_seconds" "$m_directory" env -i "PATH=$PATH" "HOME=$home" "GITSYNC_UNIT=$unit" \
            "GITSYNC_DIRECTORY=$m_directory" sh "$work/check.$probe_number" && return 0
    else
        unit_containers --filter "label=com.docker.compose.service=$probe_where" && probe_id=$(head -n 1 "$work/ids")
        [ -n "${probe_id:-}" ] || { probe_text="$probe_where has no running container"; return 1; }
        job "$work" "$probe_seconds" / docker exec "$probe_id" sh -c "$(cat "$work/check.$probe_number")" && return 0
    fi
    probe_text="the command ended with status $?: $(tail -n 1 "$work/out")"
    return 1
}
