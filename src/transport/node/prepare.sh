
# --- prepare: everything is brought and proven; nothing outside the root changes

verb_prepare() {
    unpack && policy_relied || finish_bad
    mkdir -p "$fleet_dir/units" "$root/blobs" 2>/dev/null || { bad node "cannot write below $root"; finish_bad; }
    # What is being taken back comes to its end first.
    lock "$fleet_dir/restorer" 120 || finish_bad
    lock "$root/mutex/holder" 30 || finish_bad
    fence_take || finish_bad
    marker_write && lease_touch || finish_bad
    import || finish_bad
    unlock "$root/mutex/holder"
    unlock "$fleet_dir/restorer"
    boot_hook "$boot_how" || finish_bad
    claims_write && policy_keep || finish_bad
    asked unit >"$work/units"
    coming_list
    : >"$work/room"
    failed_kind='' failed_why=''
    while read -r prepare_unit prepare_to prepare_from prepare_how <&3; do
        kind='' why=''
        : >"$work/out"
        # Whoever gave this rollout up does not wait for what is prepared; another one may hold the node by now.
        fence_check || finish_bad
        if unit_select "$prepare_unit" && prepare_one "$prepare_to" "$prepare_from" "$prepare_how"; then
            printf 'unit %s prepared\n' "$unit"
        else
            tell "$work/out"
            printf 'unit %s failed %s %s\n' "$unit" "${kind:-node}" "$(one_line "$why")"
            failed_kind=${failed_kind:-${kind:-node}}
            failed_why=${failed_why:-$why}
        fi
    done 3<"$work/units"
    if [ -n "$failed_kind" ]; then
        kind=$failed_kind
        why=$failed_why
        finish_bad
    fi
    room_check || finish_bad
    finish_ok
}

# coming_list: the files that this rollout brings to the node, of all its units; waves have them there in time.
coming_list() {
    while read -r coming_unit coming_to _; do
        [ "$coming_to" = - ] ||
            sed -n 's/^file [^ ]* [^ ]* [^ ]* //p' "$fleet_dir/units/$coming_unit/$coming_to.manifest" 2>/dev/null
    done <"$work/units" >"$work/coming"
}

# free_check: room for what comes twice, as a blob and in its place, with a little to spare.
free_check() {
    free=$(df -Pk "$root" 2>/dev/null | awk 'NR == 2 { print $4 }')
    [ -n "$free" ] || return 0
    [ "$free" -ge "$((bytes * 2 / 1024 + 256))" ] ||
        bad node "$((bytes * 2 / 1024 + 256)) KiB are needed below $root, $free are free"
}

# unpack: the archive into a fresh private directory, flat; any other name than ours is refused.
unpack() {
    free_check || return 1
    mkdir "$work/in" || return 1
    if ! tar -xf - -o -C "$work/in" 2>"$work/out"; then
        bad node "the archive cannot be read: $(tail -n 1 "$work/out")" || return 1
    fi
    # What follows the archive's end is read too, or the sender would be cut off.
    cat >/dev/null
    for unpacked in "$work/in"/* "$work/in"/.[!.]*; do
        [ -e "$unpacked" ] || [ -L "$unpacked" ] || continue
        if [ -L "$unpacked" ] || [ ! -f "$unpacked" ] || ! is_blob_name "$(basename "$unpacked" .manifest)"; then
            bad refused "an unexpected name in the archive: ${unpacked##*/}" || return 1
        fi
    done
    for unpacked in "$work/in"/*; do
        [ -f "$unpacked" ] || continue
        printf '%s\n' "${unpacked##*/}"
    done >"$work/names"
    [ -s "$work/names" ] || return 0
    (cd "$work/in" && xargs sha256sum <"$work/names") >"$work/sums" || { bad node "cannot read what was brought" || return 1; }
    awk '{ name = $2; sub(/\.manifest$/, "", name); if (name !~ /^k/ && name != $1) { print name; exit } }' \
        "$work/sums" >"$work/wrong"
    [ ! -s "$work/wrong" ] || bad refused "the content of $(cat "$work/wrong") is another"
}

# import: blobs and manifests to their places. A manifest goes to the unit that it names.
import() {
    while IFS= read -r name; do
        fsync_file "$work/in/$name" || { bad node "cannot write below $root: is the disk full?" || return 1; }
        case $name in
        *.manifest) import_manifest "$name" || return 1 ;;
        *) mv -f "$work/in/$name" "$root/blobs/$name" || { bad node "cannot write below $root" || return 1; } ;;
        esac
    done <"$work/names"
    fsync_dir "$root/blobs"
}

import_manifest() {
    import_unit=$(sed -n -e 's/^unit //p' -e '/^file /q' "$work/in/$1" | head -n 1)
    import_fleet=$(sed -n -e 's/^fleet //p' -e '/^file /q' "$work/in/$1" | head -n 1)
    if ! unit_select "$import_unit" || [ "$import_fleet" != "$fleet" ]; then
        bad refused "a manifest of another fleet or unit: $import_fleet/$import_unit" || return 1
    fi
    head -n 1 "$work/in/$1" | grep -q -x 'gitsync-manifest 1' || { bad refused "a manifest of another version" || return 1; }
    unit_make || return 1
    mv -f "$work/in/$1" "$unit_dir/$1" || { bad node "cannot write below $root" || return 1; }
    fsync_dir "$unit_dir"
}

# prepare_one TO FROM HOW: one unit.
prepare_one() {
    unit_make || return 1
    state_load
    if [ "$2" != "$current" ] && ! { [ "$p_rollout" = "$rollout" ] && [ "$2" = "$p_from" ]; }; then
        bad refused "$unit changed since it was looked at: it runs $(short "$current"), the plan is from $(short "$2")" || return 1
    fi
    rm -f "$unit_dir/adopt"
    if [ "$3" = adopt ]; then
        : >"$unit_dir/adopt"
    fi
    way_back "$2" || return 1
    [ "$1" != - ] || return 0
    manifest_whole "$1" && manifest_load "$1" || return 1
    destinations_check "$1" "$3" || return 1
    if [ "$m_runtime" = compose ]; then
        needs_check "$work/coming" && compose_ours && compose_place && images_fetch && prepare_ports || return 1
    fi
    [ "$m_validation" != staged ] || prepare_staged "$1"
}

short() {
    [ "$1" = - ] && { printf nothing; return; }
    printf '%s' "$1" | cut -c 1-12
}

# way_back FROM: proof that FROM can be brought back: its manifest, its blobs, the images that run now.
way_back() {
    [ "$1" != - ] || return 0
    manifest_whole "$1" && manifest_load "$1" || { why="no way back: $why"; return 1; }
    [ "$m_runtime" = compose ] || return 0
    compose_containers || return 1
    cut -d ' ' -f 1 "$work/containers" >"$work/ids"
    [ -s "$work/ids" ] || return 0
    xargs docker inspect --format '{{.Image}}' <"$work/ids" 2>/dev/null | sort -u >"$work/images"
    [ ! -s "$work/images" ] || xargs docker image inspect --format '{{.Id}}' <"$work/images" >/dev/null 2>&1 ||
        bad refused "$unit: no way back: an image that runs now is gone"
}

# destinations_check TO HOW: every place is allowed, free, ours already, or taken over; every parent is safe.
destinations_check() {
    policy_unit "$1" || return 1
    manifest_files "$1" >"$work/files"
    cut -d ' ' -f 4- "$work/files" >"$work/wanted"
    claims_check || return 1
    known_paths >"$work/known"
    # What is left of other units' places is given up by them in this rollout.
    cut -d ' ' -f 3- "$work/claimed" >>"$work/known"
    inspect "$work/wanted" "$work/state"
    room_note
    awk 'part == "files" { sub(/^[^ ]* [^ ]* /, ""); blob = $1; sub(/^[^ ]* /, ""); want[$0] = blob; next }
        part == "known" { known[$0] = 1; next }
        {
            what = $1
            path = $0
            sub(/^[^ ]* [^ ]* [^ ]* /, "", path)
            if (what == "link" || what == "directory" || what == "other") print what, path "|"
            else if (what != "missing" && !(path in known) && what != want[path])
                print (want[path] ~ /^k/ ? "sealed." want[path] : "foreign"), path "|"
        }' part=files "$work/files" part=known "$work/known" part=state "$work/state" >"$work/clashes"
    while read -r clash clash_path; do
        clash_path=${clash_path%|}
        case $clash in
        link | directory) bad refused "$unit: $clash_path is a $clash" || return 1 ;;
        other) bad refused "$unit: $clash_path cannot be read or is no file" || return 1 ;;
        foreign | sealed.*) [ "$2" = adopt ] || cmp -s "$root/blobs/${clash#sealed.}" "$clash_path" || bad refused "$unit: $clash_path exists with other content and is not gitsync's (\`adopt: true\` takes it over)" || return 1 ;;
        esac
    done <"$work/clashes"
    : >"$work/parents"
    while IFS= read -r path; do
        parent_of "$path"
        printf '%s\n' "$parent" >>"$work/parents"
    done <"$work/wanted"
    sort -u "$work/parents" >"$work/parents-once"
    while IFS= read -r parent; do
        enter "$parent" no || { why="$unit: $why"; return 1; }
    done <"$work/parents-once"
    leave_directory
}

# claims_check: a place that another unit claims is free only when that unit changes in the same rollout.
claims_check() {
    claimed_by_others "$work/wanted" >"$work/claimed"
    while read -r claim_fleet claim_unit claim_path; do
        if [ "$claim_fleet" != "$fleet" ] || ! asked unit | grep -q -F -e "$claim_unit "; then
            bad refused "$unit: $claim_path belongs to $claim_unit of the fleet $claim_fleet" || return 1
        fi
    done <"$work/claimed"
}

# prepare_ports: ports of units that change in this rollout are given up by then.
prepare_ports() {
    bound_ports
    set -- "$work/bound"
    while read -r ports_unit _ ports_from _; do
        set -- "$@" "$fleet_dir/units/$ports_unit/$ports_from.manifest"
        # A prepare that comes again finds what this rollout has started already.
        if get_line "$fleet_dir/units/$ports_unit/current"; then
            set -- "$@" "$fleet_dir/units/$ports_unit/$got.manifest"
        fi
    done <"$work/units"
    ports_check "$@"
}

# prepare_staged TO: the unit laid out as a tree below a private directory, then its validator.
prepare_staged() {
    stage=$work/stage
    rm -rf "$stage"
    mkdir -p "$stage$m_directory" || { bad node "cannot write below $root" || return 1; }
    manifest_files "$1" | sed 's/$/|/' >"$work/stage-files"
    while read -r mode owner blob path; do
        path=${path%|}
        mkdir -p "$stage${path%/*}" && cp "$root/blobs/$blob" "$stage$path" && chmod "$mode" "$stage$path" || {
            bad node "cannot lay out $unit below $root: is the disk full?" || return 1
        }
    done <"$work/stage-files"
    node_env || return 1
    cj_dir=$work
    validate staged "$stage"
}
