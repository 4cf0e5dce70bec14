
# --- manifests and the state of a unit

# manifest_path DIGEST: where a manifest of the selected unit lies.
manifest_path() {
    printf '%s' "$unit_dir/$1.manifest"
}

# manifest_load DIGEST: sets the m_ variables; `-` loads an empty unit without a runtime.
manifest_load() {
    m_digest=$1
    m_file=$unit_dir/$1.manifest
    m_runtime=none m_directory=/ m_project='' m_service='' m_validation=none
    m_validate='' m_activate='' m_stop='' m_start='' m_reload='' m_remove='' m_logs=''
    [ "$1" = - ] && { m_file=/dev/null; return 0; }
    [ -f "$m_file" ] || { bad refused "$unit: the manifest $1 is not on the node" || return 1; }
    while IFS= read -r m_line; do
        m_value=${m_line#* }
        case $m_line in
        'runtime '*) m_runtime=$m_value ;;
        'directory '*) m_directory=$m_value ;;
        'project '*) m_project=$m_value ;;
        'host-service '*) m_service=$m_value ;;
        'validation '*) m_validation=$m_value ;;
        'command '*) manifest_command "${m_value%% *}" "${m_value#* }" ;;
        'file '*) break ;;
        esac
    done <"$m_file"
}

manifest_command() {
    case $1 in
    validate) m_validate=$2 ;;
    activate) m_activate=$2 ;;
    stop) m_stop=$2 ;;
    start) m_start=$2 ;;
    reload) m_reload=$2 ;;
    remove) m_remove=$2 ;;
    logs) m_logs=$2 ;;
    esac
}

# manifest_files DIGEST: lines `mode owner blob destination`.
manifest_files() {
    [ "$1" = - ] || sed -n 's/^file //p' "$unit_dir/$1.manifest" 2>/dev/null
}

# manifest_lines KEY: values of the loaded manifest's lines with that key.
manifest_lines() {
    sed -n "s/^$1 //p" "$m_file"
}

# manifest_whole DIGEST: whether the manifest and all its blobs are here.
manifest_whole() {
    [ "$1" = - ] && return 0
    [ -f "$unit_dir/$1.manifest" ] || { bad refused "$unit: the manifest $1 is not on the node" || return 1; }
    sed -n -e 's/^file [^ ]* [^ ]* \([^ ]*\) .*/\1/p' -e 's/^command [^ ]* //p' -e 's/^sealed [^ ]* //p' \
        "$unit_dir/$1.manifest" >"$work/needed"
    while IFS= read -r blob; do
        if ! is_blob_name "$blob" || [ ! -f "$root/blobs/$blob" ]; then
            bad refused "$unit: the blob $blob is not on the node" || return 1
        fi
    done <"$work/needed"
}

# same_files A B: whether two manifests install the same.
same_files() {
    [ "$1" = "$2" ] && return 0
    manifest_files "$1" >"$work/files-a"
    manifest_files "$2" >"$work/files-b"
    cmp -s "$work/files-a" "$work/files-b"
}

# state_load: sets current, previous (a digest or `-`) and the p_ variables of a pending change.
state_load() {
    current=- previous=-
    get_line "$unit_dir/current" && current=$got
    get_line "$unit_dir/previous" && previous=$got
    p_rollout='' p_from=- p_to=- p_previous=- p_also='' p_seq=''
    [ -f "$unit_dir/pending" ] || return 0
    while read -r p_key p_value; do
        case $p_key in
        rollout) p_rollout=$p_value ;;
        from) p_from=$p_value ;;
        to) p_to=$p_value ;;
        previous) p_previous=$p_value ;;
        seq) p_seq=$p_value ;;
        also) p_also="$p_also $p_value" ;;
        esac
    done <"$unit_dir/pending"
}

# pending_write FROM TO: before anything of the unit is touched. What an unfinished change may have installed is kept
# in mind, so that its files are cleared away too.
pending_write() {
    pending_also=
    for digest in "$current" "$p_from" "$p_to" $p_also; do
        case " - $1 $2 $pending_also " in
        *" $digest "*) ;;
        *) pending_also="$pending_also $digest" ;;
        esac
    done
    pending_previous=$previous
    [ -z "$p_rollout" ] || pending_previous=$p_previous
    {
        printf 'rollout %s\nfrom %s\nto %s\nprevious %s\nseq %s\n' "${rollout:--}" "$1" "$2" "$pending_previous" \
            "${p_seq:-000000.0}"
        for digest in $pending_also; do
            printf 'also %s\n' "$digest"
        done
    } >"$work/pending" && put_file "$unit_dir/pending" <"$work/pending" || { bad node "cannot write $unit_dir/pending: is the disk full?" || return 1; }
    state_load
}

# state_set NAME DIGEST: `current` or `previous`; `-` removes it.
state_set() {
    if [ "$2" = - ]; then
        rm -f "$unit_dir/$1"
        fsync_dir "$unit_dir"
    elif ! get_line "$unit_dir/$1" || [ "$got" != "$2" ]; then
        printf '%s\n' "$2" >"$work/state-line" && put_file "$unit_dir/$1" <"$work/state-line" ||
            bad node "cannot write $unit_dir/$1: is the disk full?"
    fi
}

# pending_clear: the change is over first, and only then what it had written down goes: a kill in between must not leave
# a change whose way back is gone.
pending_clear() {
    rm -f "$unit_dir/pending" "$unit_dir/adopt" "$unit_dir/stack"
    fsync_dir "$unit_dir"
    unit_settle
}

# unit_settle: nothing is pending, and what only a pending change needs goes.
unit_settle() {
    kept_settle && service_settle || bad node "cannot write below $root: is the disk full?"
}
