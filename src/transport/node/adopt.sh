
# --- what others run under a compose project

# compose_containers: sets `foreign` to the containers of the project that are not this unit's.
compose_containers() {
    need_docker || return 1
    docker ps -a --no-trunc --filter "label=com.docker.compose.project=$m_project" \
        --format '{{.ID}} {{.Label "gitsync.fleet"}}/{{.Label "gitsync.unit"}} {{.Names}}' \
        >"$work/containers" 2>"$work/docker" || { docker_silent; return 1; }
    taken_ids >"$work/taken"
    foreign=$(awk -v ours="$fleet/$unit" 'part == "taken" { taken[$1] = 1; next }
        $2 != ours && !($1 in taken) { print $3 }' part=taken "$work/taken" part=all "$work/containers" | tr '\n' ' ')
}

# compose_ours: refuse a project that runs containers of others, unless they are taken over.
compose_ours() {
    compose_containers || return 1
    if [ -n "$foreign" ] && [ ! -f "$unit_dir/adopt" ]; then
        bad refused "$unit: the compose project $m_project runs containers that are not gitsync's: ${foreign% } (\`adopt: true\` takes them over)"
    fi
}

# compose_place: refuse a stack of others that runs from this unit's directory under another project, or under its project
# from another directory: its volumes would stay behind, or what its files name by `./`.
compose_place() {
    [ "$current" = - ] || return 0
    docker ps -a --format '{{.Label "gitsync.unit"}}|{{.Label "com.docker.compose.project"}}|{{.Label "com.docker.compose.project.working_dir"}}' \
        >"$work/stacks" 2>"$work/docker" </dev/null || { docker_silent; return 1; }
    place_project=$(HERE=$m_directory PROJECT=$m_project awk -F '|' \
        '$1 == "" && $2 != "" && $3 == ENVIRON["HERE"] && $2 != ENVIRON["PROJECT"] { print $2; exit }' "$work/stacks")
    [ -z "$place_project" ] ||
        bad refused "$unit: the compose project $place_project runs from $m_directory and is not gitsync's (\`project: $place_project\` and \`adopt: true\` take it over)" || return 1
    place_directory=$(HERE=$m_directory PROJECT=$m_project awk -F '|' \
        '$1 == "" && $2 == ENVIRON["PROJECT"] && $3 != "" && $3 != ENVIRON["HERE"] { print $3; exit }' "$work/stacks")
    [ -z "$place_directory" ] ||
        bad refused "$unit: the compose project $m_project is not gitsync's and runs from $place_directory (\`directory: $place_directory\` and \`adopt: true\` take it over)"
}

# bound_ports [MANIFEST…]: host ports that the project's containers hold and give up themselves, as lines of a manifest, in
# $work/bound. One on the host's own network publishes nothing: for it the manifests speak.
bound_ports() {
    : >"$work/bound"
    [ -s "$work/containers" ] || return 0
    cut -d ' ' -f 1 "$work/containers" | xargs docker inspect --format '{{.HostConfig.NetworkMode}}
{{range $port, $hosts := .NetworkSettings.Ports}}{{range $hosts}}{{$port}} {{.HostPort}}
{{end}}{{end}}' 2>/dev/null >"$work/bindings"
    sed -n 's,^[0-9]*/\([a-z]*\) ,port \1 * ,p' "$work/bindings" >"$work/bound"
    grep -q -x host "$work/bindings" || return 0
    for bound_manifest in "$@"; do
        [ ! -f "$bound_manifest" ] || sed -n '/^port /p' "$bound_manifest" >>"$work/bound"
    done
}

# stack_record DIGEST: what others run under the project that is taken over: lines `service directory|files|`. Should the
# takeover fail, it is brought up again as it was.
stack_record() {
    [ -f "$unit_dir/adopt" ] && manifest_load "$1" && [ "$m_runtime" = compose ] || return 0
    docker ps --filter "label=com.docker.compose.project=$m_project" --format '{{.Label "gitsync.unit"}}/{{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.project.working_dir"}}|{{.Label "com.docker.compose.project.config_files"}}|' \
        >"$work/running" 2>"$work/docker" </dev/null || { docker_silent; return 1; }
    sed -n 's,^/,,p' "$work/running" | sort -u >"$work/stack"
    [ ! -s "$work/stack" ] || put_file "$unit_dir/stack" <"$work/stack" ||
        bad node "cannot write below $root: is the disk full?"
}

# stack_return: the services of others that ran before a takeover that failed, from their own files, which are back.
stack_return() {
    [ -f "$unit_dir/stack" ] || return 0
    while read -r stack_service stack_rest; do
        stack_directory=${stack_rest%%|*}
        stack_rest=${stack_rest#*|}
        stack_rest=${stack_rest%|}
        set -- env -i "PATH=$PATH" "HOME=$home"
        [ -z "${DOCKER_HOST:-}" ] || set -- "$@" "DOCKER_HOST=$DOCKER_HOST"
        set -- "$@" docker compose --progress plain -p "$m_project" --project-directory "$stack_directory"
        while [ -n "$stack_rest" ]; do
            set -- "$@" -f "${stack_rest%%,*}"
            case $stack_rest in
            *,*) stack_rest=${stack_rest#*,} ;;
            *) stack_rest= ;;
            esac
        done
        job "$unit_dir" "$limit" "$stack_directory" "$@" up -d --no-deps "$stack_service" && continue
        bad node "$unit: $stack_service of $m_project, which ran before, does not start again: $(tail -n 1 "$unit_dir/out")"
        return 1
    done <"$unit_dir/stack"
}

# --- containers taken over as they ran: a stack whose files are equal to the fleet's runs on untouched. Its containers lack our
# labels; $unit_dir/taken has the blob of the override that names those, then their ids.

override=gitsync.override.yaml

# taken_ids: ids of the containers that were taken over as they are; some may be gone by now.
taken_ids() {
    [ ! -s "$unit_dir/taken" ] || sed 1d "$unit_dir/taken"
}

# unit_containers [FILTER…]: ids of the loaded unit's containers, by label and taken over, in $work/ids.
unit_containers() {
    docker ps -q --no-trunc --filter "label=gitsync.fleet=$fleet" --filter "label=gitsync.unit=$unit" "$@" \
        >"$work/ids" 2>"$work/docker" </dev/null || return 1
    [ -s "$unit_dir/taken" ] || return 0
    taken_ids >"$work/taken"
    docker ps -q --no-trunc --filter "label=com.docker.compose.project=$m_project" "$@" 2>"$work/docker" </dev/null |
        grep -x -F -f "$work/taken" >>"$work/ids" || :
}

# override_blob DIGEST: the content that the manifest adds to people's own files.
override_blob() {
    manifest_files "$1" | DEST=$m_directory/$override awk '{
        blob = $3
        sub(/^[^ ]* [^ ]* [^ ]* /, "")
        if ($0 == ENVIRON["DEST"]) print blob
    }'
}

# taken_stays DIGEST FROM: takes the project over as it runs, when compose itself would leave it alone but for our labels:
# at the takeover, and as long as what we add is the same.
taken_stays() {
    taken_override=$(override_blob "$1")
    [ -n "$taken_override" ] && [ -s "$work/containers" ] || return 1
    if [ -s "$unit_dir/taken" ]; then
        get_line "$unit_dir/taken" && [ "$got" = "$taken_override" ] || return 1
    else
        [ "$2" = - ] && [ -f "$unit_dir/adopt" ] || return 1
    fi
    taken_equal "$1" || return 1
    { printf '%s\n' "$taken_override"; cat "$work/taken-now"; } >"$work/taken" &&
        put_file "$unit_dir/taken" <"$work/taken"
}

# taken_equal DIGEST: whether every service of the loaded manifest runs as people's own files and the images of now say;
# the ids are left in $work/taken-now.
taken_equal() {
    taken_hashes "$1" || return 1
    manifest_lines service | while read -r taken_service taken_kind taken_image; do
        printf '%s %s %s\n' "$taken_service" "$taken_kind" "$(docker image inspect --format '{{.Id}}' "$taken_image" 2>/dev/null </dev/null)"
    done >"$work/wanted-images"
    cut -d ' ' -f 1 "$work/containers" | xargs docker inspect --format '{{with index .Config.Labels "com.docker.compose.service"}}{{.}}{{else}}-{{end}} {{.Id}} {{.Image}} {{.State.Status}} {{with index .Config.Labels "com.docker.compose.config-hash"}}{{.}}{{else}}-{{end}}' \
        >"$work/running" 2>/dev/null
    awk 'part == "hashes" { hash[$1, $2]; next }
        part == "images" { once[$1] = $2 == "once"; image[$1] = $3; want[++n] = $1; next }
        !($1 in image) { next }
        (($1, $5) in hash) && $3 == image[$1] && ($4 == "running" || once[$1]) { print $2; seen[$1] = 1; next }
        { other = 1 }
        END {
            for (i = 1; i <= n; i++) if (!(want[i] in seen)) other = 1
            exit other
        }' part=hashes "$work/hashes" part=images "$work/wanted-images" part=running "$work/running" >"$work/taken-now"
}

# taken_hashes DIGEST: what compose knows the services of people's own files by, in $work/hashes: `SERVICE HASH` lines. It
# starts containers with what an `env_file` says put in place, and hashes files as they stand: both hashes count.
taken_hashes() {
    cj_dir=$work cj_without=$override
    compose_job 60 '' "$1" config --hash '*' && awk 'NF == 2 && length($2) == 64' "$work/out" >"$work/hashes" &&
        compose_job 60 '' "$1" config -o "$work/resolved.yaml"
    taken_code=$?
    cj_dir=$unit_dir cj_without='' kind='' why=''
    [ "$taken_code" = 0 ] || return 1
    set -- env -i "PATH=$PATH" "HOME=$home"
    [ -z "${DOCKER_HOST:-}" ] || set -- "$@" "DOCKER_HOST=$DOCKER_HOST"
    set -- "$@" docker compose --progress plain -p "$m_project" --project-directory "$m_directory" -f "$work/resolved.yaml"
    job "$work" 60 / "$@" --env-file /dev/null config --hash '*'
    taken_code=$?
    rm -f "$work/resolved.yaml"
    kind='' why=''
    [ "$taken_code" = 0 ] && awk 'NF == 2 && length($2) == 64' "$work/out" >>"$work/hashes"
}

# taken_forget: from here on only labels tell what is ours.
taken_forget() {
    [ ! -f "$unit_dir/taken" ] || { rm -f "$unit_dir/taken"; fsync_dir "$unit_dir"; }
}
