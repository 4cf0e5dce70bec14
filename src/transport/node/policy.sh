
# --- the policy of the node's owner: read and obeyed here, written by nobody but root

policy=/etc/gitsync/policy
policy_state=unread
policy_why=
# Whether what is written is a version that ran here before: the way back is not barred by a policy that came later.
policy_past=no

# policy_load: the policy into the work directory, once for each contact; false with `policy_why` when it can't be
# relied on. A policy that says something odd, or that others may have written, allows nothing.
policy_load() {
    case $policy_state in
    good) return 0 ;;
    bad) return 1 ;;
    esac
    policy_state=bad
    : >"$work/policy" || { policy_why="cannot write below $root: is the disk full?"; return 1; }
    policy_dir=${policy%/*}
    if [ -d "$policy_dir" ] && [ ! -x "$policy_dir" ]; then
        policy_why="$policy_dir cannot be looked into"
        return 1
    fi
    if [ -e "$policy" ] || [ -L "$policy" ]; then
        policy_kept_well && cat "$policy" >"$work/policy" 2>/dev/null && policy_reads || {
            policy_why=${policy_why:-$policy cannot be read}
            return 1
        }
    fi
    policy_state=good
}

# policy_kept_well: nobody but root can have written it.
policy_kept_well() {
    if [ -L "$policy" ] || [ ! -f "$policy" ]; then
        policy_why="$policy is no regular file"
        return 1
    fi
    policy_why=$(owners "$policy_dir/." "$policy" 2>/dev/null | awk '
        {
            name = substr($0, index($0, " /") + 1)
            sub(/\/\.$/, "", name)
            writable = (substr($1, 6, 1) == "w" && $4 != 0) || substr($1, 9, 1) == "w"
            if (why == "" && $3 != 0) why = name " is not owned by root"
            if (why == "" && writable) why = name " is writable by others than root"
        }
        END { print (why == "" && NR != 2 ? "the policy cannot be looked at" : why) }')
    [ -z "$policy_why" ]
}

# policy_reads: every line is one that this version knows.
policy_reads() {
    policy_why=$(awk '
        function directory(text) { return text ~ /^\// && (text "/") !~ /\/\.\.?\/|[[:cntrl:]]|[ \t]\/$/ }
        /^[ \t]*(#.*)?$/ { next }
        {
            key = $0
            sub(/ .*/, "", key)
            value = substr($0, length(key) + 2)
            if ((key == "allow" || key == "trust" || key == "env-from") && directory(value)) next
            if (key == "fleet" && value ~ /^[a-z0-9][a-z0-9-]*$/) next
            if (key == "commands" && (value == "none" || value == "any")) next
            gsub(/[[:cntrl:]]/, "?")
            print "line " NR " is not one of a policy: " substr($0, 1, 80)
            exit
        }' "$work/policy") || return 1
    [ -z "$policy_why" ] || policy_why="$policy: $policy_why"
    [ -z "$policy_why" ]
}

# policy_lines KEY: the values of its lines with that key.
policy_lines() {
    sed -n "s/^$1 //p" "$work/policy"
}

# policy_relied: an odd policy refuses the whole contact.
policy_relied() {
    policy_load || bad refused "$policy_why"
}

# policy_unit DIGEST: whether the policy lets this version of the selected unit come here.
policy_unit() {
    policy_relied || return 1
    [ "$1" != - ] && [ -s "$work/policy" ] || return 0
    policy_fleet && policy_places "$1" && policy_env "$1" && policy_commands "$1"
}

policy_fleet() {
    policy_lines fleet >"$work/fleets"
    if [ -s "$work/fleets" ] && ! grep -q -x -F -e "$fleet" "$work/fleets"; then
        bad refused "$policy does not let the fleet $fleet use this node"
    fi
}

# policy_outside DIRECTORIES PATHS: the first path that lies below none of the directories, if there are any of those.
policy_outside() {
    awk '
        part == "directories" { sub(/\/+$/, ""); if (!($0 in seen)) { seen[$0] = 1; base[++n] = $0 } next }
        n {
            for (i = 1; i <= n; i++) if (index($0 "/", base[i] "/") == 1) next
            print
            exit
        }' part=directories "$1" part=paths "$2"
}

policy_places() {
    policy_lines allow >"$work/allow"
    manifest_files "$1" | cut -d ' ' -f 4- >"$work/places"
    policy_found=$(policy_outside "$work/allow" "$work/places")
    [ -z "$policy_found" ] || bad refused "$unit: $policy does not allow $policy_found"
}

# policy_env: which files of the node may be handed to a program.
policy_env() {
    policy_lines env-from >"$work/env-from"
    sed -n -e 's/^env [^ ]* //p' -e '/^file /q' "$unit_dir/$1.manifest" >"$work/places"
    policy_found=$(policy_outside "$work/env-from" "$work/places")
    [ -z "$policy_found" ] || bad refused "$unit: $policy does not let $policy_found be read (env-from)"
}

# policy_commands: programs that the fleet's author wrote, as far as a manifest tells: commands of bundles, whatever is
# run as a process, and checks that run on the host. Commands of gateways and syncs are gitsync's own.
policy_commands() {
    [ "$(policy_lines commands | tail -n 1)" = none ] || return 0
    case $unit in
    bundle.*) policy_found=$(sed -n -e 's/^command \([^ ]*\) .*/\1/p' -e '/^file /q' "$unit_dir/$1.manifest" | head -n 1) ;;
    *) policy_found=$(sed -n -e 's/^runtime process$/process/p' -e '/^file /q' "$unit_dir/$1.manifest") ;;
    esac
    case $unit in
    bundle.* | service.*)
        # Quotes inside of texts are escaped there, so this is a check and no text that looks like one.
        ! grep '^meta ' "$unit_dir/$1.manifest" | grep -q '"kind":"exec","command":"[^"\\]*\(\\.[^"\\]*\)*","container":null' ||
            policy_found=check
        ;;
    esac
    [ -z "$policy_found" ] || bad refused "$unit: $policy allows no commands, and this unit has one ($policy_found)"
}

# policy_side DIGEST: whether it is on the way back: to nothing, to what runs, or to what a change came from.
policy_side() {
    policy_past=no
    case $1 in
    - | "$current" | "$p_from") policy_past=yes ;;
    esac
}

# policy_install DIGEST: the policy once more before files are written; it may have changed since they were prepared.
policy_install() {
    policy_side "$1"
    [ "$policy_past" = yes ] || policy_unit "$1"
}

# policy_keep: what was trusted when a rollout was prepared is trusted on its way back.
policy_keep() {
    policy_lines trust >"$work/trust"
    if [ -s "$work/trust" ] || [ -f "$fleet_dir/trusted" ]; then
        put_file "$fleet_dir/trusted" <"$work/trust"
    fi
}

# policy_trusted: directories whose parents may be writable by others.
policy_trusted() {
    ! policy_load || policy_lines trust
    [ "$policy_past" = no ] || [ ! -f "$fleet_dir/trusted" ] || cat "$fleet_dir/trusted"
}
