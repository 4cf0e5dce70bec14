
# --- room: what will be written must fit where it goes, which need not be the root's file system

# room_note: after `inspect` of a unit's files: the ones that will be written, as lines `blob path` in $work/room.
room_note() {
    awk 'part == "state" { have[FNR] = $1; next }
        $3 != have[FNR] {
            blob = $3
            sub(/^[^ ]* [^ ]* [^ ]* /, "")
            print blob, $0
        }' part=state "$work/state" part=files "$work/files" >>"$work/room"
}

# room_sizes LIST: lines `bytes path` for those paths that are there.
room_sizes() {
    if has stat; then
        quote_lines <"$1" | xargs stat -c '%s %n' 2>/dev/null
    else
        quote_lines <"$1" | xargs ls -ldn 2>/dev/null | awk '{ print $5, substr($0, index($0, " /") + 1) }'
    fi
}

# room_places LIST: for each directory in it its nearest existing parent's file system, as `free<tab>mount<tab>directory`.
# A device's name can have blanks in it, so fields are counted from the percentage.
room_places() {
    while IFS= read -r room_parent; do
        room_at=$room_parent
        until [ -d "$room_at/" ]; do
            room_at=${room_at%/*}
        done
        df -Pk "$room_at/" 2>/dev/null | PARENT=$room_parent awk '
            NR == 2 && match($0, / -?[0-9]+ +([0-9]+%|-) +\//) {
                split(substr($0, RSTART, RLENGTH), field, " ")
                print field[1] "\t" substr($0, RSTART + RLENGTH - 1) "\t" ENVIRON["PARENT"]
            }'
    done <"$1"
}

# room_check: files are written one after the other, each beside its old content, which goes then. Blocks are counted as
# 4 KiB; what nobody knows the size of keeps nothing from going on.
room_check() {
    [ -s "$work/room" ] || return 0
    cut -d ' ' -f 2- "$work/room" >"$work/room-paths"
    sed 's,/[^/]*$,,' "$work/room-paths" | sort -u >"$work/room-parents"
    room_places "$work/room-parents" >"$work/room-places"
    room_sizes "$work/room-paths" >"$work/room-old"
    cut -d ' ' -f 1 "$work/room" | sort -u >"$work/room-blobs"
    (cd "$root/blobs" && xargs ls -ldn <"$work/room-blobs") >"$work/room-new" 2>/dev/null
    room_short=$(awk '
        function blocks(bytes) { return int((bytes + 4095) / 4096) * 4 }
        part == "places" { split($0, field, "\t"); free[field[3]] = field[1]; mount[field[3]] = field[2]; next }
        part == "old" { path = $0; sub(/^[^ ]* /, "", path); old[path] = blocks($1); next }
        part == "new" { size[$NF] = blocks($5); next }
        {
            path = $0
            sub(/^[^ ]* /, "", path)
            parent = path
            sub(/\/[^\/]*$/, "", parent)
            if (!(parent in mount)) next
            place = mount[parent]
            if (!(place in left)) { places[++n] = place; left[place] = free[parent] }
            if (used[place] + size[$1] > most[place]) most[place] = used[place] + size[$1]
            used[place] += size[$1] - old[path]
        }
        END {
            for (i = 1; i <= n; i++) {
                place = places[i]
                if (most[place] > left[place]) { print most[place], left[place], place; exit }
            }
        }' part=places "$work/room-places" part=old "$work/room-old" part=new "$work/room-new" part=room "$work/room")
    [ -n "$room_short" ] || return 0
    room_need=${room_short%% *}
    room_short=${room_short#* }
    bad node "$room_need KiB are needed below ${room_short#* }, ${room_short%% *} are free"
}
