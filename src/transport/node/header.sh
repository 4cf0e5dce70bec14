
# --- the request: lines `key value…` up to an empty line; the last field of a line takes the rest

fleet=
fence=
nonce=
holder=
rollout=
since=0
dead_man=off
boot_how=none
takeover=no
limit=300
bytes=0
release=
release_commit=-
verdict=
at=0
quarantine=
keep=yes
lines=40
interval=200
timeout=5
retries=0
start_period=0
stable_for=0

# header_scalar KEY VALUE: the keys that stand alone.
header_scalar() {
    case $1 in
    fleet) fleet=$2 ;;
    fence) fence=$2 ;;
    nonce) nonce=$2 ;;
    holder) holder=$2 ;;
    rollout) rollout=$2 ;;
    since) since=$2 ;;
    dead-man) dead_man=$2 ;;
    boot) boot_how=$2 ;;
    takeover) takeover=$2 ;;
    limit) limit=$2 ;;
    bytes) bytes=$2 ;;
    release) release=${2%% *} release_commit=${2#* } ;;
    verdict) verdict=$2 ;;
    at) at=$2 ;;
    quarantine) quarantine=$2 ;;
    keep) keep=$2 ;;
    lines) lines=$2 ;;
    interval) interval=$2 ;;
    timeout) timeout=$2 ;;
    retries) retries=$2 ;;
    start-period) start_period=$2 ;;
    stable-for) stable_for=$2 ;;
    esac
}

is_number() {
    case $1 in
    '' | *[!0-9]*) return 1 ;;
    esac
    [ ${#1} -le 15 ]
}

is_word() {
    case $1 in
    '' | .* | -* | *[!A-Za-z0-9.@_-]*) return 1 ;;
    esac
}

# read_header: the shell reads a pipe byte by byte, so a body after the empty line is left for tar.
read_header() {
    : >"$request_file" || { bad node "cannot write below $root: is the disk full?" || return 1; }
    while IFS= read -r line; do
        if [ -z "$line" ]; then
            check_header
            return
        fi
        printf '%s\n' "$line" >>"$request_file" || {
            bad node "cannot write below $root: is the disk full?" || return 1
        }
        header_scalar "${line%% *}" "${line#* }"
    done
    bad node "the request broke off"
}

check_header() {
    for number in "$since" "$limit" "$bytes" "$at" "$lines" "$interval" "$timeout" "$retries" \
        "$start_period" "$stable_for" "${fence:-0}"; do
        is_number "$number" || { bad refused "not a number in the request: $number" || return 1; }
    done
    is_word "$fleet" || { bad refused "not a fleet's name: $fleet" || return 1; }
    for word in "${nonce:--}" "${rollout:--}"; do
        [ "$word" = - ] || is_word "$word" || { bad refused "not a word: $word" || return 1; }
    done
    fleet_dir=$root/fleets/$fleet
    record=$fleet_dir/record
    marker=$fleet_dir/rollout
}

# asked KEY: the values of all lines with that key.
asked() {
    sed -n "s/^$1 //p" "$work/request"
}

# unit_select NAME: which unit the functions below are about.
unit_select() {
    is_word "$1" || { bad refused "not a unit's name: $1" || return 1; }
    unit=$1
    unit_dir=$fleet_dir/units/$unit
}

# unit_make: its directory.
unit_make() {
    mkdir -p "$unit_dir" 2>/dev/null || bad node "cannot write below $root: is the disk full?"
}
