
# --- files: looked at all at once, installed one by one

# What older scripts left in a directory is removed by whoever enters it; what this one writes bears its process, as two
# units may have files in one directory and be changed at the same time.
temp_prefix=.gitsync-new.
half_prefix=.gitsync-half.

# halves_clear: out of the entered directory goes what processes that were killed have left half-written in it.
halves_clear() {
    [ "$cleared" != "$entered" ] || return 0
    cleared=$entered
    for half in "./$half_prefix"*; do
        [ -f "$half" ] || continue
        half_who=${half#"./$half_prefix"}
        is_alive "${half_who%.*} ${half_who#*.} $boot" || rm -f "$half"
    done
}

# inspect LIST OUT: for each path in LIST a line `hash|missing|link|directory|other mode owner:group path`.
# One stat (or ls) and one sha256sum, however many there are.
inspect() {
    : >"$work/sums"
    : >"$work/listing"
    if [ -s "$1" ]; then
        if has stat; then
            # Some ls write question marks for what is not ASCII.
            quote_lines <"$1" | xargs stat -c '%A 1 %U %G %n' >"$work/listing" 2>/dev/null
        else
            quote_lines <"$1" | xargs ls -ld >"$work/listing" 2>/dev/null
        fi
        sed -n '/^-/s/^[^\/]* \//\//p' "$work/listing" | quote_lines >"$work/regular"
        [ ! -s "$work/regular" ] || xargs sha256sum <"$work/regular" >"$work/sums" 2>/dev/null
    fi
    awk '
        function digit(text, special,   n) {
            n = 0
            if (substr(text, 1, 1) == "r") n += 4
            if (substr(text, 2, 1) == "w") n += 2
            if (substr(text, 3, 1) ~ /[xst]/) n += 1
            return n
        }
        function octal(m,   s) {
            s = 0
            if (substr(m, 4, 1) ~ /[sS]/) s += 4
            if (substr(m, 7, 1) ~ /[sS]/) s += 2
            if (substr(m, 10, 1) ~ /[tT]/) s += 1
            return s digit(substr(m, 2, 3)) digit(substr(m, 5, 3)) digit(substr(m, 8, 3))
        }
        part == "sums" {
            name = $0
            if (substr(name, 1, 1) == "\\") { name = substr(name, 2); gsub(/\\\\/, "\\", name) }
            sum[substr(name, index(name, " /") + 1)] = substr(name, 1, 64)
            next
        }
        part == "listing" {
            name = substr($0, index($0, " /") + 1)
            type = substr($1, 1, 1)
            if (type == "l") { links[++n] = name; next }
            mode[name] = octal($1); owner[name] = $3 ":" $4
            kind[name] = type == "-" ? "file" : type == "d" ? "directory" : "other"
            next
        }
        {
            what = kind[$0]
            if (what == "") {
                what = "missing"
                for (i = 1; i <= n; i++) if (links[i] == $0 || index(links[i], $0 " -> ") == 1) what = "link"
            }
            if (what == "file") print ($0 in sum ? sum[$0] : "other"), mode[$0], owner[$0], $0
            else print what, "-", "-", $0
        }' part=sums "$work/sums" part=listing "$work/listing" part=list "$1" >"$2"
}

# only_in A B: lines of the file A that are not in the file B.
only_in() {
    awk 'part == "b" { b[$0] = 1; next } !($0 in b)' part=b "$2" part=a "$1"
}

# known_paths: destinations of every manifest that this unit may have installed.
known_paths() {
    for known in "$current" "$p_from" "$p_to" $p_also; do
        manifest_files "$known"
    done | cut -d ' ' -f 4- | sort -u
}

# claims_write: who owns which destination, gathered anew from what units run or are about to run.
claims_write() {
    lock "$root/mutex/holder" 30 || return 1
    for claims_unit in "$root"/fleets/*/units/*/; do
        for claims_state in current pending; do
            [ -f "$claims_unit$claims_state" ] || continue
            while read -r claims_key claims_value; do
                case $claims_state-$claims_key in
                current-*) claims_value=$claims_key ;;
                pending-to) ;;
                *) continue ;;
                esac
                [ ! -f "$claims_unit$claims_value.manifest" ] || printf '%s\n' "$claims_unit$claims_value.manifest"
            done <"$claims_unit$claims_state"
        done
    done | sort -u >"$work/claiming"
    : >"$work/claims"
    if [ -s "$work/claiming" ]; then
        quote_lines <"$work/claiming" | xargs awk '
            FNR == 1 { n = split(FILENAME, part, "/"); who = part[n - 3] " " part[n - 1] }
            /^file / { dest = $0; sub(/^file [^ ]* [^ ]* [^ ]* /, "", dest); print who, dest }' |
            sort -u >"$work/claims"
    fi
    # It can be gathered anew at any time, so it is not worth a sync.
    cp "$work/claims" "$root/claims.new" && mv -f "$root/claims.new" "$root/claims" || bad node "cannot write $root/claims"
    claims_result=$?
    unlock "$root/mutex/holder"
    return "$claims_result"
}

# claimed_by_others LIST: the lines of LIST that another unit claims, as `fleet unit path`.
claimed_by_others() {
    [ -f "$root/claims" ] || return 0
    awk -v fleet="$fleet" -v unit="$unit" '
        part == "list" { want[$0] = 1; next }
        {
            path = $0
            sub(/^[^ ]* [^ ]* /, "", path)
            if ((path in want) && !($1 == fleet && $2 == unit)) print
        }' part=list "$1" part=claims "$root/claims"
}

# keep_foreign DIGEST: before files of others are overwritten, keep them: they come back when the unit goes. Called
# before the change is written down as pending, while whatever lies there is known not to come from it.
keep_foreign() {
    manifest_files "$1" | cut -d ' ' -f 4- >"$work/wanted"
    known_paths >"$work/known"
    keep_fresh || return 1
    claimed_by_others "$work/wanted" | cut -d ' ' -f 3- >>"$work/known"
    [ ! -f "$unit_dir/kept/index" ] || cut -d ' ' -f 4- "$unit_dir/kept/index" >>"$work/known"
    inspect "$work/wanted" "$work/state"
    awk 'part == "known" { known[$0] = 1; next }
        { path = $0; sub(/^[^ ]* [^ ]* [^ ]* /, "", path) }
        length($1) == 64 && !(path in known) { print $0 "|" }' part=known "$work/known" part=state "$work/state" >"$work/foreign"
    [ -s "$work/foreign" ] || return 0
    mkdir -p "$unit_dir/kept" || { bad node "cannot write below $root: is the disk full?" || return 1; }
    keep_number=0
    while read -r _ keep_mode keep_owner keep_path; do
        keep_path=${keep_path%|}
        # A copy without a line in the index is one that was cut short.
        while [ -f "$unit_dir/kept/index" ] && grep -q "^$keep_number " "$unit_dir/kept/index"; do
            keep_number=$((keep_number + 1))
        done
        # What is reached through a link is not what lies there.
        parent_of "$keep_path"
        enter "$parent" no || return 1
        if ! dd if="./${keep_path##*/}" of="$unit_dir/kept/$keep_number" bs=65536 conv=fsync 2>/dev/null; then
            rm -f "$unit_dir/kept/$keep_number"
            bad node "cannot keep a copy of $keep_path: is the disk full?" || return 1
        fi
        {
            [ ! -f "$unit_dir/kept/index" ] || cat "$unit_dir/kept/index"
            printf '%s %s %s %s\n' "$keep_number" "$keep_mode" "$keep_owner" "$keep_path"
        } >"$work/index" && put_file "$unit_dir/kept/index" <"$work/index" || { bad node "cannot write below $root: is the disk full?" || return 1; }
    done <"$work/foreign"
    leave_directory
}

# keep_fresh: forget copies that were made for a change that never came; the file may be another by now.
keep_fresh() {
    [ -f "$unit_dir/kept/index" ] || return 0
    awk 'part == "known" { known[$0] = 1; next }
        { path = $0; sub(/^[^ ]* [^ ]* [^ ]* /, "", path) }
        path in known' part=known "$work/known" part=index "$unit_dir/kept/index" >"$work/fresh"
    put_file "$unit_dir/kept/index" <"$work/fresh"
}

# install_list DIGEST: what is wanted beside what is there, in $work/compare. A list that a full disk cut short must not
# pass for a whole one.
install_list() {
    lists_begin
    manifest_files "$1" >"$work/install" &&
        cut -d ' ' -f 4- "$work/install" >"$work/wanted" &&
        inspect "$work/wanted" "$work/state" || return 1
    # Both lists have one line per file in the same order; the bar keeps blanks at a path's end from `read`.
    {
        awk 'part == "state" { line[FNR] = $1 " " $2 " " $3; next }
            { print line[FNR], $0 "|" }' part=state "$work/state" part=install "$work/install" &&
            printf 'end\n'
    } >"$work/compare" && lists_whole
}

# lists_begin: what earlier lists took is free before new ones are written, and not in between.
lists_begin() {
    for list in install wanted state compare sums listing regular known claimed gone; do
        rm -f "$work/$list"
    done
}

# lists_whole: whether the lists that were just written can have been: programs don't all tell. What comes after a list
# that was cut short would find no room either.
lists_whole() {
    printf 'x\n' >"$work/whole" 2>/dev/null
    [ -s "$work/whole" ] || return 1
    rm -f "$work/whole"
}

# install_files DIGEST: every file of the manifest that is not there already, byte by byte and mode by mode.
install_files() {
    policy_install "$1" || return 1
    cleared=
    install_list "$1" || { bad node "cannot write below $root: is the disk full?" || return 1; }
    while read -r now_hash now_mode now_owner mode owner blob path; do
        path=${path%|}
        case $now_hash in
        end) break ;;
        link) bad refused "$path is a link" || return 1 ;;
        directory) bad refused "$path is a directory" || return 1 ;;
        other) bad refused "$path is neither a file nor absent" || return 1 ;;
        esac
        [ "$owner" = - ] && now_owner=-
        parent_of "$path"
        enter "$parent" yes || return 1
        halves_clear
        if [ "$now_mode" = "$mode" ] && [ "$now_owner" = "$owner" ] && same_content "$now_hash" "$blob" "$path"; then
            continue
        fi
        install_one "$mode" "$owner" "$root/blobs/$blob" "$path" || return 1
    done <"$work/compare"
    leave_directory
}

# same_content HASH BLOB PATH: names of sensitive blobs are no hashes, so those are compared.
same_content() {
    case $2 in
    k*) cmp -s "$root/blobs/$2" "$3" ;;
    *) [ "$1" = "$2" ] ;;
    esac
}

# install_one MODE OWNER SOURCE PATH: a new file under a name of ours in the same directory, synced, then renamed.
install_one() {
    name=./${4##*/}
    temp=${me#* }
    temp=./$half_prefix$$.${temp%% *}
    if ! dd if="$3" of="$temp" bs=65536 conv=fsync 2>/dev/null; then
        rm -f "$temp"
        bad node "cannot write $4: is the disk full?" || return 1
    fi
    if [ "$2" != - ] && ! chown "$2" "$temp" 2>/dev/null; then
        rm -f "$temp"
        bad node "cannot give $4 to $2" || return 1
    fi
    chmod "$1" "$temp" || { bad node "cannot set the mode of $4" || return 1; }
    if [ -L "$name" ] || [ -d "$name" ]; then
        rm -f "$temp"
        bad refused "$4 is a link or a directory" || return 1
    fi
    mv -f "$temp" "$name" || { bad node "cannot write $4" || return 1; }
    dirty=yes
}

# remove_list DIGEST: what goes, in $work/gone, and an empty line. See install_list.
remove_list() {
    lists_begin
    manifest_files "$1" | cut -d ' ' -f 4- >"$work/wanted" &&
        known_paths >"$work/known" &&
        claimed_by_others "$work/known" >"$work/claimed" &&
        cut -d ' ' -f 3- "$work/claimed" >>"$work/wanted" || return 1
    { only_in "$work/known" "$work/wanted" && printf '\n'; } >"$work/gone" && lists_whole
}

# remove_files DIGEST: files that earlier manifests of this unit brought and DIGEST does not. Kept ones of others return.
remove_files() {
    policy_side "$1"
    cleared=
    remove_list "$1" || { bad node "cannot write below $root: is the disk full?" || return 1; }
    while IFS= read -r path; do
        [ -n "$path" ] || break
        parent_of "$path"
        [ -d "$parent" ] || continue
        if ! enter "$parent" no; then
            # What is reached through a link now was not put there by this unit.
            [ "$kind" = refused ] && ! kept_line "$path" && continue
            return 1
        fi
        halves_clear
        name=./${path##*/}
        if kept_line "$path"; then
            install_one "$kept_mode" "$kept_owner" "$unit_dir/kept/$kept_number" "$path" || return 1
        elif [ -f "$name" ] && [ ! -L "$name" ]; then
            rm -f "$name" || { bad node "cannot remove $path" || return 1; }
            dirty=yes
        fi
    done <"$work/gone"
    leave_directory
}

# kept_line PATH: sets the kept_ variables when a file of others is kept for this path.
kept_line() {
    [ -f "$unit_dir/kept/index" ] || return 1
    kept_found=$(WANTED=$1 awk '{
        path = $0
        sub(/^[^ ]* [^ ]* [^ ]* /, "", path)
        if (path == ENVIRON["WANTED"]) { print $1, $2, $3; exit }
    }' "$unit_dir/kept/index")
    [ -n "$kept_found" ] || return 1
    kept_number=${kept_found%% *}
    kept_owner=${kept_found##* }
    kept_mode=${kept_found#* }
    kept_mode=${kept_mode%% *}
}

# kept_settle: a change is decided or put back; copies of files that have returned for good are of no more use. Until
# then they may have to return once more.
kept_settle() {
    [ -f "$unit_dir/kept/index" ] || return 0
    settle_now=-
    ! get_line "$unit_dir/current" || settle_now=$got
    manifest_files "$settle_now" | cut -d ' ' -f 4- >"$work/wanted"
    awk 'part == "wanted" { wanted[$0] = 1; next }
        { path = $0; sub(/^[^ ]* [^ ]* [^ ]* /, "", path) }
        path in wanted' part=wanted "$work/wanted" part=index "$unit_dir/kept/index" >"$work/index"
    if [ ! -s "$work/index" ]; then
        rm -rf "$unit_dir/kept"
    elif ! cmp -s "$work/index" "$unit_dir/kept/index"; then
        put_file "$unit_dir/kept/index" <"$work/index"
    fi
}
