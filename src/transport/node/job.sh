
# --- programs: run apart from the session, with a bounded wait

detach=
if has setsid; then
    detach=setsid
fi

# claim_starts DIRECTORY: from here on only a program started by this contact may begin to work for DIRECTORY. One that
# a killed script has started, and that has not entered itself yet, sees that and ends.
claim_starts() {
    lock "$1/start.lock" 30 || return 1
    printf '%s\n' "$me" >"$1/starter" || bad node "cannot write below $root: is the disk full?"
    claim_result=$?
    unlock "$1/start.lock"
    return "$claim_result"
}

# enter_start DIRECTORY STARTER FILE TEXT: what a started program does first: TEXT into FILE, if its starter still counts.
enter_start() {
    lock "$1/start.lock" 30 || return 1
    enter_result=1
    if get_line "$1/starter" && [ "$got" = "$2" ]; then
        # Not synced: after a power cut another boot id stands for another process.
        printf '%s\n' "$4" >"$3.new" && mv -f "$3.new" "$3" && enter_result=0
    fi
    unlock "$1/start.lock"
    return "$enter_result"
}

# job DIRECTORY SECONDS CWD COMMAND…: its output goes to DIRECTORY/out. The job outlives this script; the next contact
# finds DIRECTORY/job and waits for it. Status 124: it took too long and was killed.
job() {
    job_dir=$1
    job_limit=$2
    shift 2
    rm -f "$job_dir/status"
    : >"$job_dir/out" || { bad node "cannot write below $root: is the disk full?" || return 125; }
    # shellcheck disable=SC2086 # nothing when there is no setsid
    $detach sh "$self" job "$job_dir" "$job_limit" "$me" "$@" </dev/null >>"$job_dir/out" 2>&1 &
    job_child=$!
    job_wait "$job_limit" "$job_child"
}

# job_wait SECONDS CHILD: until the status is written.
job_wait() {
    uptime_now
    job_until=$((now + $1 * 100))
    job_step=1
    while [ ! -f "$job_dir/status" ]; do
        uptime_now
        if [ "$now" -ge "$job_until" ]; then
            [ -f "$job_dir/job" ] || kill -KILL "$2" 2>/dev/null
            job_kill
            printf 'stopped: it did not end within %s s\n' "$1" >>"$job_dir/out"
            return 124
        fi
        if ! process_start "$2"; then
            # It may have written its status just before it ended.
            [ -f "$job_dir/status" ] || return 125
        fi
        pause "$job_step"
        [ "$job_step" -ge 20 ] || job_step=$((job_step * 2))
    done
    get_line "$job_dir/status" || return 125
    rm -f "$job_dir/status" "$job_dir/job"
    return "$got"
}

job_kill() {
    get_line "$job_dir/job" || return 0
    is_alive "$got" || return 0
    job_group=${got%% *}
    if [ -n "$detach" ]; then
        kill -TERM "-$job_group" 2>/dev/null
        pause 50
        kill -KILL "-$job_group" 2>/dev/null
    else
        descendants "$job_group" >"$job_dir/tree"
        end_listed "$job_dir/tree"
        rm -f "$job_dir/tree"
    fi
    rm -f "$job_dir/job"
}

# job_settle DIRECTORY: the job that a killed script left behind comes to its end first; one on its way never begins.
job_settle() {
    job_dir=$1
    claim_starts "$1" || return 1
    get_line "$1/job" || return 0
    get_line "$1/limit" || got=60
    uptime_now
    settle_until=$((now + got * 100))
    # Its status is the last that it writes, so it is waited for until it is gone.
    while get_line "$1/job" && is_alive "$got"; do
        [ "$now" -lt "$settle_until" ] || { job_kill; break; }
        pause 5
        uptime_now
    done
    rm -f "$1/job" "$1/status"
}

# verb_job DIRECTORY SECONDS STARTER CWD COMMAND…: the job itself, in its own session.
verb_job() {
    job_dir=$1
    enter_start "$1" "$3" "$1/job" "$me" || exit 1
    printf '%s\n' "$2" >"$job_dir/limit"
    cd "$4" 2>/dev/null || cd / || exit 1
    job_watch "$2"
    shift 4
    umask 022
    "$@"
    job_status=$?
    [ -z "$watcher" ] || kill -TERM "$watcher" 2>/dev/null
    printf '%s\n' "$job_status" >"$job_dir/status.new"
    mv -f "$job_dir/status.new" "$job_dir/status"
}

# job_watch SECONDS: ends this job's session when it takes longer, should the script that started it be gone by then.
job_watch() {
    watcher=
    [ -n "$detach" ] || return 0
    (
        # KILL: a shell that was forked a moment ago loses a TERM, and a sleeper would stay until its time is over.
        trap 'kill -KILL "$!" 2>/dev/null; exit 0' TERM
        sleep "$(($1 + 5))" &
        wait "$!"
        kill -KILL "-$$"
    ) >/dev/null 2>&1 &
    watcher=$!
}

# program DIRECTORY SECONDS MOMENT BLOB [STAGE]: run a command of the loaded manifest, as the fleet's author wrote it.
program() {
    program_stage=${5:-}
    job "$1" "$2" "$program_stage$m_directory" env -i "PATH=$PATH" "HOME=$home" "GITSYNC_UNIT=$unit" \
        "GITSYNC_FLEET=$fleet" "GITSYNC_DIRECTORY=$m_directory" "GITSYNC_STAGE=$program_stage" \
        "GITSYNC_NODE_ENV=$unit_dir/node.env" "GITSYNC_RETURNED=${program_returned:-}" sh "$root/blobs/$4"
    program_code=$?
    [ "$program_code" -ne 0 ] || return 0
    program_failed "$1" "$3" "$program_code"
}

# program_failed DIRECTORY MOMENT STATUS: what the answer says.
program_failed() {
    if [ "$3" -eq 124 ]; then
        bad content "$unit: $2 did not end in time"
    elif [ "$3" -eq 125 ] && [ ! -s "$1/out" ]; then
        bad node "$unit: $2 could not be run"
    else
        program_said=$(grep -v '^[[:space:]]*$' "$1/out" | tail -n 1)
        bad content "$unit: $2 failed with status $3${program_said:+: $program_said}"
    fi
}

# node_env: values that are files of the node or secrets, written where compose and the unit's process read them, 0600.
node_env() {
    manifest_lines env >"$work/env"
    manifest_lines sealed | sed "s|^\([^ ]*\) |\1 $root/blobs/|" >>"$work/env"
    [ -s "$work/env" ] || { rm -f "$unit_dir/node.env"; return 0; }
    : >"$work/node.env"
    while IFS= read -r env_line; do
        env_one "${env_line%% *}" "${env_line#* }" >>"$work/node.env" || return 1
    done <"$work/env"
    if ! cmp -s "$work/node.env" "$unit_dir/node.env"; then
        put_file "$unit_dir/node.env" <"$work/node.env"
    fi
}

# env_one KEY FILE: a line of node.env.
env_one() {
    case $2 in
    "$root"/blobs/*) env_name='its secret' ;;
    *) env_name=$2 ;;
    esac
    env_value=$(cat "$2" 2>/dev/null && printf x) || {
        bad refused "$unit: $1: cannot read $env_name" || return 1
    }
    env_value=${env_value%x}
    env_value=${env_value%"$newline"}
    case $env_value in
    *"$newline"*) bad refused "$unit: $1: $env_name holds more than one line" || return 1 ;;
    esac
    env_put "$1" "$env_value" || bad node "cannot write below $root: is the disk full?"
}

# env_put KEY VALUE: compose reads quotes and dollars in its files; the process runtime takes lines as they are.
env_put() {
    if [ "$m_runtime" != compose ]; then
        printf '%s=%s\n' "$1" "$2"
    else
        # Compose reads a backslash before the closing single quote as an escape, so double quotes it is, always.
        printf '%s="%s"\n' "$1" "$(printf '%s' "$2" | sed 's/[\\"$]/\\&/g')"
    fi
}
