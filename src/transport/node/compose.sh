
# --- compose projects

# compose_job SECONDS BASE DIGEST ARGUMENT…: docker compose on the loaded manifest, with everything that could change
# the result fixed; BASE is a staged tree, or empty. With `cj_without` set, people's own files alone.
cj_without=
compose_job() {
    cj_limit=$1
    cj_base=$2
    cj_digest=$3
    shift 3
    cj_count=$#
    set -- "$@" env -i "PATH=$PATH" "HOME=$home"
    [ -z "${DOCKER_HOST:-}" ] || set -- "$@" "DOCKER_HOST=$DOCKER_HOST"
    set -- "$@" docker compose --progress plain -p "$m_project" --project-directory "$cj_base$m_directory"
    manifest_lines compose >"$work/compose-files"
    while IFS= read -r cj_file; do
        [ "$cj_file" != "$cj_without" ] || continue
        set -- "$@" -f "$cj_base$m_directory/$cj_file"
    done <"$work/compose-files"
    if [ -z "$cj_base$cj_without" ] && [ -f "$unit_dir/$cj_digest.pin.yaml" ]; then
        set -- "$@" -f "$unit_dir/$cj_digest.pin.yaml"
    fi
    if [ -f "$unit_dir/node.env" ]; then
        set -- "$@" --env-file "$unit_dir/node.env"
    else
        set -- "$@" --env-file /dev/null
    fi
    # What compose is asked to do stands first; it belongs at the end.
    while [ "$cj_count" -gt 0 ]; do
        cj_word=$1
        shift
        set -- "$@" "$cj_word"
        cj_count=$((cj_count - 1))
    done
    job "$cj_dir" "$cj_limit" / "$@"
    cj_code=$?
    if grep -q 'variable is not set' "$cj_dir/out" 2>/dev/null; then
        bad content "$unit: $(grep 'variable is not set' "$cj_dir/out" | head -n 1)"
        return 1
    fi
    return "$cj_code"
}

need_docker() {
    has docker || bad node "docker is missing on the node"
}

# docker_silent: why docker did not answer a question whose complaints are in $work/docker.
docker_silent() {
    bad node "docker does not answer: $(tail -n 1 "$work/docker")"
}

# compose_config BASE: the validator.
compose_config() {
    need_docker || return 1
    kind=
    compose_job 60 "$1" "$m_digest" config -q && return 0
    [ "$kind" = content ] || program_failed "$cj_dir" validate "$cj_code"
}

# container_states: ids on standard input; a line each: `unit service id image status health restarts exit-status
# started name`. Health is cut out of JSON: a template can't name what a container without a check lacks.
container_states() {
    cat >"$work/inspect"
    [ -s "$work/inspect" ] || return 0
    xargs docker inspect --format '{{with index .Config.Labels "gitsync.unit"}}{{.}}{{else}}-{{end}} {{with index .Config.Labels "com.docker.compose.service"}}{{.}}{{else}}-{{end}} {{.Id}} {{.Image}} {{.State.Status}} {{.RestartCount}} {{.State.ExitCode}} {{.State.StartedAt}} {{.Name}} {{json .State}}' \
        <"$work/inspect" 2>/dev/null | awk 'NF > 9 {
            health = "-"
            if (match($0, /"Health":\{"Status":"[a-z]+"/)) {
                health = substr($0, RSTART + 20, RLENGTH - 21)
            }
            print $1, $2, $3, $4, $5, health == "none" ? "-" : health, $6, $7, $8, $9
        }'
}

# images_record DIGEST: the images that run now, which is what a put-back must bring back, and a name for each that
# keeps it from being pruned.
images_record() {
    manifest_load "$1" || return 1
    [ "$m_runtime" = compose ] || return 0
    compose_containers || return 1
    cut -d ' ' -f 1 "$work/containers" >"$work/ids"
    : >"$work/images"
    [ ! -s "$work/ids" ] || xargs docker inspect \
        --format '{{with index .Config.Labels "com.docker.compose.service"}}{{.}}{{else}}-{{end}} {{.Image}}' <"$work/ids" |
        sort -u >"$work/images"
    # Stopped by hand and removed: what was recorded before is the better knowledge.
    if [ -s "$work/images" ] || [ ! -f "$unit_dir/$1.images" ]; then
        put_file "$unit_dir/$1.images" <"$work/images" || return 1
    fi
    while read -r image_service image_id; do
        docker tag "$image_id" "$(image_name "$1" "$image_service")" 2>/dev/null || :
    done <"$work/images"
}

# image_name DIGEST SERVICE: our own name for an image.
image_name() {
    image_short=$(printf '%s' "$1" | cut -c 1-12)
    printf 'gitsync.local/%s/%s:%s' "$(printf '%s' "$unit" | tr '@' '-')" "$(printf '%s' "$2" | tr '[:upper:]' '[:lower:]')" "$image_short"
}

# images_present DIGEST: whether all recorded images are still here.
images_present() {
    [ -f "$unit_dir/$1.images" ] || return 0
    while read -r image_service image_id; do
        docker image inspect --format '{{.Id}}' "$image_id" >/dev/null 2>&1 || {
            bad refused "$unit: the image of $image_service is gone: $image_id" || return 1
        }
    done <"$unit_dir/$1.images"
}

# images_pin DIGEST: where a name of the loaded manifest means another image by now, an override names the image itself.
images_pin() {
    : >"$work/pins"
    if [ -f "$unit_dir/$1.images" ]; then
        images_present "$1" || return 1
        manifest_lines service >"$work/services"
        while read -r pin_service pin_id; do
            pin_ref=$(awk -v service="$pin_service" '$1 == service { print $3; exit }' "$work/services")
            pin_now=
            [ "${pin_ref:--}" = - ] || pin_now=$(docker image inspect --format '{{.Id}}' "$pin_ref" 2>/dev/null)
            [ "$pin_now" = "$pin_id" ] || printf '  %s:\n    image: "%s"\n    pull_policy: never\n' "$pin_service" "$pin_id"
        done <"$unit_dir/$1.images" >"$work/pins"
    fi
    if [ -s "$work/pins" ]; then
        { printf 'services:\n'; cat "$work/pins"; } >"$work/pin" && put_file "$unit_dir/$1.pin.yaml" <"$work/pin" ||
            bad node "cannot write below $root: is the disk full?"
    else
        rm -f "$unit_dir/$1.pin.yaml"
    fi
}

# images_fetch: images of the loaded manifest that are not here yet.
images_fetch() {
    need_docker || return 1
    manifest_lines service | while read -r _ _ fetch_image; do
        [ "$fetch_image" = - ] || printf '%s\n' "$fetch_image"
    done | sort -u >"$work/fetch"
    while IFS= read -r fetch_image; do
        docker image inspect --format '{{.Id}}' "$fetch_image" >/dev/null 2>&1 && continue
        # Recorded by its id: another image may bear the name now, or none.
        if [ -f "$unit_dir/$m_digest.images" ] && images_present "$m_digest"; then
            continue
        fi
        cj_dir=$work
        if ! job "$work" 1800 / env -i "PATH=$PATH" "HOME=$home" ${DOCKER_HOST:+"DOCKER_HOST=$DOCKER_HOST"} \
            docker pull -q "$fetch_image"; then
            pull_failed "$fetch_image" || return 1
        fi
    done <"$work/fetch"
}

# pull_failed IMAGE: an image that its registry does not have will not come by itself; anything else may pass.
pull_failed() {
    pull_said=$(tail -n 1 "$work/out")
    case $pull_said in
    *'manifest unknown'* | *'name unknown'* | *': not found' | *'no matching manifest'*) pull_kind=content ;;
    *) pull_kind=node ;;
    esac
    bad "$pull_kind" "$unit: cannot pull the image $1: $pull_said"
}

# ports_check FREED…: host ports and addresses of the loaded manifest against what is bound now. Ports in the manifests
# FREED are given up by then.
ports_check() {
    manifest_lines port >"$work/ports"
    [ -s "$work/ports" ] || return 0
    : >"$work/freed"
    for freed in "$@"; do
        [ ! -f "$freed" ] || sed -n 's/^port //p' "$freed" >>"$work/freed"
    done
    set -- part=freed "$work/freed" part=ports "$work/ports"
    for table in tcp tcp6 udp udp6; do
        [ ! -r "/proc/net/$table" ] || set -- "$@" "part=$table" "/proc/net/$table"
    done
    ports_any=0
    read -r ports_any 2>/dev/null </proc/sys/net/ipv4/ip_nonlocal_bind || ports_any=0
    if [ "$ports_any" = 0 ] && [ -r /proc/net/fib_trie ]; then
        set -- "$@" part=addresses /proc/net/fib_trie
    fi
    ports_said=$(awk '
        function little(address,   p) { split(address, p, "."); return sprintf("%02X%02X%02X%02X", p[4], p[3], p[2], p[1]) }
        part == "freed" { free[$1 " " $3] = 1; next }
        part == "ports" { n++; proto[n] = $1; address[n] = $2; port[n] = $3; hex[n] = sprintf("%04X", $3); next }
        part == "addresses" {
            if ($1 == "|--") last = $2
            else if ($0 ~ /host LOCAL/) { here[last] = 1; known = 1 }
            next
        }
        {
            split($2, local, ":")
            if (part ~ /tcp/ ? $4 != "0A" : $4 != "07") next
            for (i = 1; i <= n; i++) {
                if (substr(part, 1, 3) == proto[i] && local[2] == hex[i]) {
                    four = address[i] ~ /^[0-9.]+$/
                    any = local[1] ~ /^0+$/
                    mapped = "0000000000000000FFFF0000" little(address[i])
                    if (any || address[i] == "*" || address[i] == "0.0.0.0" || address[i] == "::" ||
                        (four && (local[1] == little(address[i]) || local[1] == mapped)))
                        taken[i] = 1
                }
            }
        }
        END {
            for (i = 1; i <= n; i++) {
                if (taken[i] && !((proto[i] " " port[i]) in free)) print "port " port[i] "/" proto[i] " is taken"
                if (known && address[i] ~ /^[0-9.]+$/ && address[i] !~ /^127\./ && address[i] != "0.0.0.0" && !(address[i] in here))
                    print "the address " address[i] " is not on this node"
            }
        }' "$@" | sort -u | head -n 3 | tr '\n' ' ')
    [ -z "$ports_said" ] || bad node "$unit: ${ports_said% }"
}

# needs_check [COMING]: paths that containers mount; docker would make directories of missing ones. COMING lists files
# that are there by the time the containers start.
needs_check() {
    manifest_lines needs >"$work/needs"
    while IFS= read -r need; do
        [ -e "$need" ] || { [ -n "${1:-}" ] && is_coming "$need" "$1"; } ||
            bad refused "$unit: $need is needed and is not there" || return 1
    done <"$work/needs"
}

# is_coming PATH LIST: whether a file of LIST will lie at PATH or below it.
is_coming() {
    NEED=$1 awk 'BEGIN { need = ENVIRON["NEED"] }
        $0 == need || index($0, need "/") == 1 { found = 1; exit }
        END { exit !found }' "$2"
}

# compose_activate DIGEST FROM: up, after everything that is known to lose the old container was looked at.
compose_activate() {
    cj_dir=$unit_dir
    compose_ours && needs_check || return 1
    images_pin "$1" || return 1
    if ! taken_stays "$1" "$2"; then
        compose_up "$1" "$2" && taken_forget || return 1
    fi
    kind=
    compose_recreate "$1" && return 0
    [ "$kind" = content ] || program_failed "$unit_dir" 'docker compose up' "$cj_code"
}

# compose_up DIGEST FROM
compose_up() {
    bound_ports "$unit_dir/$2.manifest" "$unit_dir/$1.manifest" "$unit_dir/$current.manifest" "$unit_dir/$p_to.manifest"
    ports_check "$work/bound" || return 1
    set -- "$1" up -d
    # What others run beside it is not ours to remove.
    [ -n "$foreign" ] || set -- "$@" --remove-orphans
    kind=
    compose_job "$limit" '' "$@" && return 0
    [ "$kind" = content ] || program_failed "$unit_dir" 'docker compose up' "$cj_code"
}

# compose_recreate DIGEST: changed labels had containers made anew. One that mounts a single file which was written again
# under the same labels still sees the old one: the kernel calls its source deleted.
compose_recreate() {
    manifest_lines recreate >"$work/recreate"
    while read -r recreate_service; do
        docker ps -q --filter "label=com.docker.compose.project=$m_project" \
            --filter "label=com.docker.compose.service=$recreate_service" >"$work/ids" </dev/null
        [ -s "$work/ids" ] || continue
        xargs docker inspect --format '{{.State.Pid}}' <"$work/ids" >"$work/pids" 2>/dev/null
        while read -r recreate_pid; do
            cat "/proc/$recreate_pid/mountinfo" 2>/dev/null
        done <"$work/pids" >"$work/mounts"
        awk '$4 ~ /\/\/deleted$/ { stale = 1 } END { exit !stale }' "$work/mounts" || continue
        compose_job "$limit" '' "$1" up -d --no-deps --force-recreate "$recreate_service" || return 1
    done <"$work/recreate"
}

# compose_each COMMAND…: a docker command on this unit's containers, whatever the files say now.
compose_each() {
    need_docker || return 1
    unit_containers -a --filter "label=com.docker.compose.project=$m_project" || { docker_silent; return 1; }
    [ -s "$work/ids" ] || return 0
    # shellcheck disable=SC2046 # ids have no blanks
    job "$unit_dir" "$limit" / env -i "PATH=$PATH" "HOME=$home" ${DOCKER_HOST:+"DOCKER_HOST=$DOCKER_HOST"} \
        docker "$@" $(cat "$work/ids") && return 0
    bad node "$unit: docker $1 failed: $(tail -n 1 "$unit_dir/out")"
}

# compose_remove: containers and the project's own networks; volumes stay, always.
compose_remove() {
    compose_each stop && compose_each rm || return 1
    compose_containers || return 1
    [ -s "$work/containers" ] && return 0
    docker network ls -q --filter "label=com.docker.compose.project=$m_project" >"$work/ids" 2>/dev/null
    [ ! -s "$work/ids" ] || xargs docker network rm <"$work/ids" >/dev/null 2>&1 || :
}

# compose_logs N
compose_logs() {
    need_docker || return 1
    unit_containers -a || return 0
    [ -s "$work/ids" ] || return 0
    xargs docker inspect --format '{{.Id}} {{with index .Config.Labels "com.docker.compose.service"}}{{.}}{{else}}-{{end}}' \
        <"$work/ids" >"$work/logged" 2>/dev/null
    while read -r log_id log_service; do
        docker logs --tail "$1" "$log_id" 2>&1 </dev/null | sed "s/^/$log_service: /"
    done <"$work/logged"
}
