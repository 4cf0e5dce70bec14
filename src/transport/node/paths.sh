
# --- where may be written

# parent_of PATH: sets `parent`.
parent_of() {
    parent=${1%/*}
    [ -n "$parent" ] || parent=/
}

# is_below PATH DIRECTORY
is_below() {
    case $1/ in
    "${2%/}"/*) return 0 ;;
    esac
    return 1
}

dirty=no

# leave_directory: out of it; names that changed in it are on disk from here on. Contents were synced one by one.
leave_directory() {
    if [ "$dirty" = yes ] && [ -n "$entered" ]; then
        fsync_dir "$entered"
    fi
    dirty=no
    entered=
    cd / || :
}

# enter DIRECTORY yes|no: step into it so that names written there are safe; `yes` makes what is missing. Every parent
# must be a real directory, owned by root or this user, and writable by nobody else.
enter() {
    [ "$1" = "$entered" ] && return 0
    leave_directory
    enter_dir=$1
    enter_make=$2
    enter_rest=${1#/}
    enter_at=
    set -- /
    while [ -n "$enter_rest" ]; do
        enter_at=$enter_at/${enter_rest%%/*}
        case $enter_rest in
        */*) enter_rest=${enter_rest#*/} ;;
        *) enter_rest= ;;
        esac
        [ -e "$enter_at" ] || [ -L "$enter_at" ] || break
        set -- "$@" "$enter_at"
    done
    for enter_at in "$@"; do
        [ ! -L "$enter_at" ] || { bad refused "$enter_at is a link" || return 1; }
        [ -d "$enter_at" ] || { bad refused "$enter_at is not a directory" || return 1; }
    done
    enter_check "$@" || return 1
    if [ ! -d "$enter_dir" ]; then
        [ "$enter_make" = yes ] || return 0
        enter_create "$enter_at" || return 1
    fi
    cd -P "$enter_dir" 2>/dev/null || { bad node "cannot enter $enter_dir" || return 1; }
    if [ "$(pwd -P)" != "$enter_dir" ]; then
        cd / || :
        bad refused "$enter_dir is reached through a link" || return 1
    fi
    entered=$enter_dir
    for enter_at in "./$temp_prefix"*; do
        { [ -f "$enter_at" ] || [ -L "$enter_at" ]; } && rm -f "$enter_at"
    done
    return 0
}

# owners PATH…: lines with mode, something, user id, group id, and the path last.
owners() {
    if has stat; then
        stat -c '%A 1 %u %g %n' "$@"
    else
        ls -ldn "$@"
    fi
}

# enter_check DIRECTORY…: the last one is written to, so that even a sticky one won't do there.
enter_check() {
    enter_bad=$(owners "$@" 2>/dev/null | awk -v me="$uid" -v mine="$gid" -v last="$enter_dir" '
        {
            name = substr($0, index($0, " /") + 1)
            sticky = substr($1, 10, 1) ~ /[tT]/ && name != last
            group = substr($1, 6, 1) == "w" && $4 != 0 && !(me != 0 && $4 == mine)
            other = substr($1, 9, 1) == "w"
            if ($3 != 0 && $3 != me) { print "owned by another user (" $3 "): " name }
            else if ((group || other) && !sticky) { print "writable by others: " name }
        }')
    [ -n "$enter_bad" ] || return 0
    policy_trusted >"$work/trust"
    printf '%s\n' "$enter_bad" >"$work/enter"
    while IFS= read -r enter_line; do
        enter_ok=no
        while IFS= read -r enter_trust; do
            is_below "${enter_line#*: }" "$enter_trust" && enter_ok=yes
        done <"$work/trust"
        if [ "$enter_ok" = no ]; then
            bad refused "a parent directory is ${enter_line%%: *}: ${enter_line#*: } (a line \`trust ${enter_line#*: }\` in $policy accepts it)"
            return 1
        fi
    done <"$work/enter"
}

# enter_create EXISTING: make the directories below it, and remember them for the unit's removal. Each is made from
# inside its parent: a name that becomes a link meanwhile leads nowhere else.
enter_create() {
    enter_at=${1%/}
    enter_rest=${enter_dir#"$enter_at"/}
    cd -P "$1" 2>/dev/null || { bad node "cannot enter $1" || return 1; }
    while [ -n "$enter_rest" ]; do
        if [ "$(pwd -P)" != "${enter_at:-/}" ]; then
            cd / || :
            bad refused "$enter_at is reached through a link" || return 1
        fi
        enter_name=./${enter_rest%%/*}
        enter_at=$enter_at/${enter_rest%%/*}
        case $enter_rest in
        */*) enter_rest=${enter_rest#*/} ;;
        *) enter_rest= ;;
        esac
        printf '%s\n' "$enter_at" >>"$unit_dir/made" || { bad node "cannot write below $root: is the disk full?" || return 1; }
        mkdir -m 755 "$enter_name" 2>/dev/null || [ -d "$enter_name" ] || { bad node "cannot make $enter_at" || return 1; }
        fsync_dir .
        cd -P "$enter_name" 2>/dev/null || { bad node "cannot enter $enter_at" || return 1; }
    done
}

# made_remove: directories that this unit made and that are empty now, deepest first.
made_remove() {
    [ -f "$unit_dir/made" ] || return 0
    sort -r -u "$unit_dir/made" >"$work/made"
    while IFS= read -r made_dir; do
        parent_of "$made_dir"
        [ -d "$made_dir" ] && enter "$parent" no && [ "$entered" = "$parent" ] || continue
        made_name=./${made_dir##*/}
        [ -L "$made_name" ] || rmdir "$made_name" 2>/dev/null || :
    done <"$work/made"
    leave_directory
    kind='' why=''
    rm -f "$unit_dir/made"
}
