
# --- observe and the other verbs that only look

verb_observe() {
    observe_node
    observe_tools
    observe_record
    : >"$work/dest"
    : >"$work/manifests"
    : >"$work/taken-units"
    for observe_dir in "$fleet_dir"/units/*/; do
        [ -d "$observe_dir" ] || continue
        observe_unit "${observe_dir%/}"
    done
    observe_files
    observe_containers
    observe_manifests
    for observe_blob in "$root/blobs"/*; do
        [ -f "$observe_blob" ] && printf 'blob %s\n' "${observe_blob##*/}"
    done
    finish_ok
}

observe_node() {
    if ! get_line "$root/node-id"; then
        lock "$root/mutex/holder" 30 || finish_bad
        if ! get_line "$root/node-id"; then
            od -An -tx1 -N16 /dev/urandom | tr -d ' \n' >"$work/id" && put_file "$root/node-id" <"$work/id" || {
                bad node "cannot write below $root: is the disk full?"
                finish_bad
            }
            get_line "$root/node-id"
        fi
        unlock "$root/mutex/holder"
    fi
    uptime_now
    printf 'protocol 1\nnode-id %s\nboot %s\nuptime %s\narch %s\nuser %s\nnow %s\n' \
        "$got" "$boot" "$((now / 100))" "$(uname -m)" "$(id -un)" "$(date +%s)"
    df -Pk "$root" 2>/dev/null | awk 'NR == 2 { print "free", $4 }'
    storage_type "$root"
    case $storage in
    tmpfs | ramfs | rootfs | devtmpfs) printf 'volatile %s\n' "$storage" ;;
    esac
}

# storage_type PATH: sets `storage` to the type of the file system that PATH is on; of two mounts over one place the
# later counts.
storage_type() {
    storage=$(stat -f -c %T "$1" 2>/dev/null)
    [ -z "$storage" ] || return 0
    storage=$(ASKED="${1%/}/" awk '
        BEGIN { asked = ENVIRON["ASKED"] }
        {
            at = $2
            gsub(/\\040/, " ", at)
            if (at != "/") at = at "/"
            if (index(asked, at) == 1 && length(at) >= longest) { longest = length(at); type = $3 }
        }
        END { print type }' /proc/mounts)
}

# observe_tools: versions are asked once and kept until a program's file changes.
observe_tools() {
    set --
    for tool in docker caddy lsyncd haproxy keepalived systemctl setsid rsync curl; do
        tool_path=$(command -v "$tool" 2>/dev/null) && set -- "$@" "$tool_path"
    done
    [ $# -gt 0 ] || return 0
    ls -Llid "$@" >"$work/tools.stamp" 2>/dev/null
    if ! cmp -s "$work/tools.stamp" "$root/tools.stamp"; then
        for tool_path in "$@"; do
            tool_version "${tool_path##*/}" "$tool_path"
        done >"$work/tools" 2>/dev/null </dev/null
        put_file "$root/tools" <"$work/tools" && put_file "$root/tools.stamp" <"$work/tools.stamp"
    fi
    cat "$root/tools" 2>/dev/null
}

tool_version() {
    case $1 in
    docker)
        printf 'tool docker %s\n' "$(docker --version | head -n 1)"
        tool_compose=$(env -i "PATH=$PATH" "HOME=$home" docker compose version --short 2>/dev/null | head -n 1)
        [ -z "$tool_compose" ] || printf 'tool compose %s\n' "$tool_compose"
        ;;
    caddy) printf 'tool caddy %s\n' "$(caddy version | head -n 1)" ;;
    lsyncd) printf 'tool lsyncd %s\n' "$(lsyncd --version | head -n 1)" ;;
    rsync | systemctl | curl) printf 'tool %s %s\n' "$1" "$("$1" --version | head -n 1)" ;;
    *) printf 'tool %s present\n' "$1" ;;
    esac
}

observe_record() {
    [ -f "$record" ] || return 0
    ! lease_lapsed || printf 'lapsed yes\n'
    # The lines of the record are the lines of the answer; good releases get their number.
    awk '$1 == "good" { n = seen++; sub(/^good /, "good " n " ") }
        $1 == "good-unit" { sub(/^good-unit /, "good-unit " n " ") }
        { print }' "$record"
    sed -n 's/^good-unit \([^ ]*\) \([^ ]*\)$/\1 \2/p' "$record" | while read -r good_unit good_digest; do
        good_file=$fleet_dir/units/$good_unit/$good_digest.manifest
        [ ! -f "$good_file" ] || printf '%s\n' "$good_file"
    done >"$work/good-manifests"
}

# observe_unit DIRECTORY: what is written down about one unit; its files are looked at later, all units' at once.
observe_unit() {
    unit_dir=$1
    unit=${1##*/}
    state_load
    printf 'unit %s\n' "$unit"
    if [ "$current" != - ]; then
        printf 'current %s\n' "$current"
        observe_manifest "$current"
        # The directory's name and the blob's hold no blanks, so they can stand before the path.
        manifest_files "$current" | sed "s/^[^ ]* [^ ]* /$unit /" >>"$work/dest"
    fi
    if [ "$previous" != - ]; then
        printf 'previous %s\n' "$previous"
        observe_manifest "$previous"
    fi
    if [ -n "$p_rollout" ]; then
        printf 'pending %s %s %s\n' "$p_rollout" "$p_from" "$p_to"
        observe_manifest "$p_from"
        observe_manifest "$p_to"
    fi
    taken_ids | sed "s/^/$unit /" >>"$work/taken-units"
    if [ -f "$unit_dir/process" ]; then
        process_load
        printf 'process %s %s\n' "$process_state" "$k_pid"
    elif grep -q '^runtime process$' "$unit_dir/$current.manifest" 2>/dev/null; then
        printf 'process none -\n'
    fi
}

observe_manifest() {
    [ ! -f "$unit_dir/$1.manifest" ] || printf '%s\n' "$unit_dir/$1.manifest" >>"$work/manifests"
}

observe_files() {
    [ -s "$work/dest" ] || return 0
    cut -d ' ' -f 3- "$work/dest" >"$work/paths"
    inspect "$work/paths" "$work/state"
    sealed_names >"$work/sealed-names"
    awk 'part == "sealed" { name[$1] = $2; next }
        part == "dest" { unit[FNR] = $1; next }
        FNR in name && length($1) == 64 { print "file", unit[FNR], name[FNR] substr($0, 65); next }
        { print "file", unit[FNR], $0 }' part=sealed "$work/sealed-names" part=dest "$work/dest" part=state "$work/state"
}

# sealed_names: of a file with secrets in it not even the hash leaves the node: lines `number blob`, or `number changed`
# when it is not what the blob holds.
sealed_names() {
    awk '$2 ~ /^k/ { path = $0; sub(/^[^ ]* [^ ]* /, "", path); print FNR, $2, path "|" }' "$work/dest" >"$work/sealed"
    while read -r sealed_number sealed_blob sealed_path; do
        cmp -s "$root/blobs/$sealed_blob" "${sealed_path%|}" || sealed_blob=changed
        printf '%s %s\n' "$sealed_number" "$sealed_blob"
    done <"$work/sealed"
}

observe_containers() {
    has docker || return 0
    docker ps -aq --no-trunc --filter "label=gitsync.fleet=$fleet" >"$work/ids" 2>"$work/docker" </dev/null || {
        printf 'log docker does not answer: %s\n' "$(one_line "$(tail -n 1 "$work/docker")")"
        return 0
    }
    sed 's/^[^ ]* //' "$work/taken-units" >>"$work/ids"
    container_states <"$work/ids" | awk 'part == "taken" { unit[$2] = $1; next }
        $1 == "-" && $3 in unit { $1 = unit[$3] }
        { print "container", $0 }' part=taken "$work/taken-units" part=all -
}

observe_manifests() {
    [ ! -f "$work/good-manifests" ] || cat "$work/good-manifests" >>"$work/manifests"
    [ -s "$work/manifests" ] || return 0
    sort -u "$work/manifests" | quote_lines | xargs awk '
        FNR == 1 { name = FILENAME; sub(/^.*\//, "", name); sub(/\.manifest$/, "", name); print "manifest " name }
        { print "| " $0 }'
}

# verb_manifest: the manifest that a unit runs, so that the asker knows which of its files may be read.
verb_manifest() {
    read -r _ asked_name <"$work/request.unit" || asked_name=
    unit_select "$asked_name" || finish_bad
    state_load
    if [ "$current" != - ] && [ -f "$unit_dir/$current.manifest" ]; then
        printf 'manifest %s\n' "$current"
        sed 's/^/| /' "$unit_dir/$current.manifest"
    fi
    finish_ok
}

# verb_read: `blob <name>` lines; the answer is `end ok`, then an archive. Names of sensitive blobs are refused.
verb_read() {
    asked blob >"$work/read"
    while IFS= read -r blob; do
        is_digest "$blob" || { bad refused "not to be read: $blob"; finish_bad; }
        [ -f "$root/blobs/$blob" ] || { bad refused "no blob $blob on the node"; finish_bad; }
    done <"$work/read"
    printf 'end ok\n'
    if [ -s "$work/read" ]; then
        cd "$root/blobs" && xargs tar -cf - <"$work/read"
    fi
    leave
    exit 0
}

# verb_read_files: `unit <unit>` and `path <path>` lines; only files of the unit's current manifest, none through links
# and none with secrets in them.
verb_read_files() {
    read -r _ asked_name <"$work/request.unit" || asked_name=
    unit_select "$asked_name" || finish_bad
    state_load
    asked path | sort -u >"$work/read"
    manifest_files "$current" | sed '/^[^ ]* [^ ]* k/d' | cut -d ' ' -f 4- >"$work/managed"
    awk 'part == "managed" { managed[$0] = 1; next } $0 in managed' part=managed "$work/managed" \
        part=read "$work/read" >"$work/wanted"
    inspect "$work/wanted" "$work/state"
    mkdir "$work/out.d" || { bad node "cannot write below $root"; finish_bad; }
    # Each under the number of its path in the sorted request: an archive of absolute names is read unlike by each tar.
    awk 'part == "state" { if (length($1) == 64) { sub(/^[^ ]* [^ ]* [^ ]* /, ""); good[$0] = 1 } next }
        $0 in good { print FNR, $0 "|" }' part=state "$work/state" part=read "$work/read" >"$work/copy"
    while read -r number path; do
        cp "${path%|}" "$work/out.d/$number" 2>/dev/null || :
    done <"$work/copy"
    printf 'end ok\n'
    cd "$work/out.d" && tar -cf - .
    cd / || :
    leave
    exit 0
}

# verb_logs
verb_logs() {
    read -r _ asked_name <"$work/request.unit" || asked_name=
    unit_select "$asked_name" || finish_bad
    state_load
    unit_logs "$lines" || finish_bad
    finish_ok
}
