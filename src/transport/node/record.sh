
# --- the record of a fleet on this node: fence, holder, verdict, good releases, quarantine; replaced as a whole

# record_load: sets the r_ variables.
record_load() {
    r_fence=0 r_nonce='' r_holder='' r_rollout='' r_since=0
    [ -f "$record" ] || return 0
    while read -r r_key r_value; do
        case $r_key in
        fence) r_fence=$r_value ;;
        nonce) r_nonce=$r_value ;;
        holder) r_holder=$r_value ;;
        rollout) r_rollout=$r_value ;;
        since) r_since=$r_value ;;
        esac
    done <"$record"
}

# record_rest PATTERN…: the record's lines without those of the fence and without lines that match.
record_rest() {
    [ -f "$record" ] || return 0
    # Nothing left is fine; a full disk is not.
    grep -v -e '^fence ' -e '^nonce ' -e '^holder ' -e '^rollout ' -e '^since ' "$@" "$record" || [ $? -eq 1 ]
}

# record_put: standard input follows the fence's own lines; a holder is written when there is one.
record_put() {
    {
        printf 'fence %s\nnonce %s\n' "$r_fence" "$r_nonce"
        [ -z "$r_holder" ] || printf 'holder %s\nrollout %s\nsince %s\n' "$r_holder" "$r_rollout" "$r_since"
        cat
    } >"$work/record" && put_file "$record" <"$work/record" || {
        bad node "cannot write $record: is the disk full?"
    }
}

# fence_take: compare and set; the caller holds the mutex.
fence_take() {
    is_number "$fence" && [ -n "$nonce" ] && [ -n "$holder" ] && [ -n "$rollout" ] || {
        bad refused "the request names no fence, nonce, holder or rollout" || return 1
    }
    record_load
    if [ "$fence" -lt "$r_fence" ] || { [ "$fence" -eq "$r_fence" ] && [ "$nonce" != "$r_nonce" ]; }; then
        bad busy "the fence is at $r_fence${r_holder:+, held by $r_holder} (rollout ${r_rollout:-over})" || return 1
    fi
    if [ -n "$r_holder" ] && [ "$nonce" != "$r_nonce" ] && [ "$takeover" != yes ] && ! lease_lapsed; then
        bad busy "held by $r_holder since $r_since (rollout $r_rollout)" || return 1
    fi
    if [ -z "$r_holder" ] && [ "$nonce" = "$r_nonce" ] && [ -f "$record" ]; then
        bad refused "the rollout $rollout is over on this node" || return 1
    fi
    record_rest >"$work/rest" || bad node "cannot write $record: is the disk full?" || return 1
    r_fence=$fence r_nonce=$nonce r_holder=$holder r_rollout=$rollout r_since=$since
    record_put <"$work/rest"
}

# fence_check: whether this request's rollout still holds the fence.
fence_check() {
    record_load
    if [ "${fence:--}" != "$r_fence" ] || [ "${nonce:--}" != "$r_nonce" ] || [ -z "$r_holder" ]; then
        bad busy "the fence is at $r_fence${r_holder:+, held by $r_holder} (rollout ${r_rollout:-over})" || return 1
    fi
    rollout=$r_rollout
    # Every contact is a word from the controller; one that can't be noted is none.
    [ ! -f "$marker" ] || lease_touch || kind='' why=''
}

# fence_over: whether this very rollout has given the fence back already: the answer was lost, not the deed.
fence_over() {
    record_load
    [ "${fence:--}" = "$r_fence" ] && [ "${nonce:--}" = "$r_nonce" ] && [ -z "$r_holder" ]
}

# verb_confirm: the decision. The marker goes first, so that nothing restores behind the decision's back; the record
# last, so that a confirm that was cut short is accepted again.
verb_confirm() {
    if fence_over; then
        finish_ok
    fi
    # The same decision may have come twice, and the other one was quicker.
    decision_take || { fence_over && finish_ok; finish_bad; }
    for unit_dir in "$fleet_dir"/units/*/; do
        [ -f "${unit_dir}pending" ] || continue
        unit_select "$(basename "$unit_dir")" || finish_bad
        lock "$unit_dir/lock" 120 || finish_bad
        state_load
        job_settle "$unit_dir" || finish_bad
        if ! asked remove | grep -q -x -F -e "$unit"; then
            pending_clear
        fi
        unlock "$unit_dir/lock"
    done
    asked remove >"$work/remove" || { bad node "cannot write below $root: is the disk full?"; finish_bad; }
    while IFS= read -r remove_unit <&3; do
        unit_select "$remove_unit" || finish_bad
        [ -d "$unit_dir" ] || continue
        lock "$unit_dir/lock" 120 || finish_bad
        job_settle "$unit_dir" || finish_bad
        remove_unit || { tell "$unit_dir/out"; finish_bad; }
        unlock "$unit_dir/lock"
    done 3<"$work/remove"
    claims_write || finish_bad
    lock "$root/mutex/holder" 30 || finish_bad
    ! fence_over || finish_ok
    fence_check || finish_bad
    record_good || finish_bad
    collect
    finish_ok
}

# decision_take: from here on nothing is taken back. Under the mutex: a node that began to take back says so instead.
decision_take() {
    lock "$root/mutex/holder" 60 || return 1
    fence_check || return 1
    # Without a marker the decision was heard, and its answer cut short.
    if [ -f "$marker" ]; then
        marker_stands || return 1
        rm -f "$marker"
        fsync_dir "$fleet_dir"
    fi
    watcher_end
    unlock "$root/mutex/holder"
}

# record_good: the new good release, the two before it, the verdict; the fence is given back.
record_good() {
    record_load
    {
        printf 'verdict converged %s %s\n' "$at" "$release"
        # Left behind on purpose: its commit stands in the good release that it was until now.
        left_behind=${quarantine%% *}
        if is_digest "$left_behind"; then
            left_commit=$(sed -n "s/^good $left_behind \([^ ]*\) .*/\1/p" "$record" | head -n 1)
            printf 'quarantine %s %s %s %s\n' "$left_behind" "$at" "${left_commit:--}" "$(one_line "${quarantine#* }")"
        fi
        record_rest -e '^verdict ' -e '^restored ' -e '^good ' -e '^good-unit ' |
            grep -v -e "^quarantine $release " -e "^quarantine ${left_behind:--} " || :
        if [ "$keep" = yes ]; then
            printf 'good %s %s %s\n' "$release" "$release_commit" "$at"
            asked unit | sed 's/^/good-unit /'
        fi
        [ ! -f "$record" ] || awk -v new="$release" -v keep="$keep" '
            BEGIN { left = keep == "yes" ? 2 : 3 }
            $1 == "good" { on = !(keep == "yes" && $2 == new) && left > 0; if (on) left-- }
            ($1 == "good" || $1 == "good-unit") && on' "$record"
    } >"$work/rest" || bad node "cannot write $record: is the disk full?" || return 1
    r_holder=''
    record_put <"$work/rest"
}

# fence_ahead: whether this rollout's prepare has not come for the fence yet, which nobody else holds.
fence_ahead() {
    record_load
    is_number "$fence" && [ -n "$nonce" ] && [ -z "$r_holder" ] && [ "$fence" -gt "$r_fence" ]
}

# verb_abandon: the rollout is over and did not converge. A prepare that was not waited for may still be on its way: it
# finds its own rollout over.
verb_abandon() {
    if fence_over; then
        finish_ok
    fi
    is_word "$verdict" && is_digest "$release" || { bad refused "no verdict or release"; finish_bad; }
    mkdir -p "$fleet_dir/units" 2>/dev/null || { bad node "cannot write below $root"; finish_bad; }
    lock "$fleet_dir/restorer" 120 || finish_bad
    lock "$root/mutex/holder" 30 || finish_bad
    if fence_ahead; then
        r_fence=$fence r_nonce=$nonce
    else
        fence_check || { fence_over && finish_ok; finish_bad; }
        rm -f "$marker"
        fsync_dir "$fleet_dir"
        watcher_end
    fi
    {
        printf 'verdict %s %s %s\n' "$verdict" "$at" "$release"
        case $quarantine in
        'yes '*)
            printf 'quarantine %s %s %s %s\n' "$release" "$at" "$release_commit" "$(one_line "${quarantine#yes }")"
            record_rest -e '^verdict ' | grep -v "^quarantine $release " || [ $? -eq 1 ]
            ;;
        *) record_rest -e '^verdict ' ;;
        esac
    } >"$work/rest" || { bad node "cannot write $record: is the disk full?"; finish_bad; }
    r_holder=''
    record_put <"$work/rest" || finish_bad
    collect
    finish_ok
}

# verb_unquarantine: `release <digest>`, or `release all`.
verb_unquarantine() {
    lock "$root/mutex/holder" 30 || finish_bad
    [ -f "$record" ] || finish_ok
    record_load
    if [ "$release" = all ]; then
        record_rest -e '^quarantine ' >"$work/rest"
    else
        is_digest "$release" || { bad refused "not a release: $release"; finish_bad; }
        record_rest -e "^quarantine $release " >"$work/rest"
    fi
    record_put <"$work/rest" || finish_bad
    finish_ok
}

# halves_go: what contacts that were cut short had half written for the whole fleet. The caller holds the mutex, and so does
# whoever waits for a watcher to write itself down.
halves_go() {
    rm -f "$record.new" "$marker.new" "$fleet_dir/watcher.new" "$root/claims.new"
}

# collect: remove manifests and blobs that nothing can need any more. The caller holds the mutex. Needed is what units
# run, ran before, are about to run, and what kept good releases and open rollouts name.
collect() {
    halves_go
    cat "$root"/fleets/*/units/*/current "$root"/fleets/*/units/*/previous "$root"/fleets/*/units/*/pending \
        "$root"/fleets/*/record "$root"/fleets/*/rollout 2>/dev/null |
        tr ' ' '\n' | grep -x '[0-9a-f]\{64\}' | sort -u >"$work/live"
    : >"$work/live-manifests"
    for collect_file in "$root"/fleets/*/units/*/*.manifest; do
        [ -f "$collect_file" ] || continue
        collect_digest=${collect_file##*/}
        collect_digest=${collect_digest%.manifest}
        if grep -q -x -e "$collect_digest" "$work/live"; then
            printf '%s\n' "$collect_file" >>"$work/live-manifests"
        else
            collect_manifest "${collect_file%/*}" "$collect_digest"
        fi
    done
    : >"$work/live-blobs"
    if [ -s "$work/live-manifests" ]; then
        quote_lines <"$work/live-manifests" | xargs sed -n \
            -e 's/^file [^ ]* [^ ]* \([^ ]*\) .*/\1/p' -e 's/^command [^ ]* //p' -e 's/^sealed [^ ]* //p' | sort -u >"$work/live-blobs"
    fi
    ls "$root/blobs" 2>/dev/null >"$work/blobs"
    only_in "$work/blobs" "$work/live-blobs" >"$work/dead-blobs"
    while IFS= read -r collect_blob; do
        rm -f "$root/blobs/$collect_blob"
    done <"$work/dead-blobs"
}

# collect_manifest UNIT_DIRECTORY DIGEST: one manifest and what belongs to it; the directory too when it was the last.
collect_manifest() {
    if [ -s "$1/$2.images" ] && has docker; then
        unit=${1##*/}
        while read -r collect_service _; do
            docker rmi "$(image_name "$2" "$collect_service")" >/dev/null 2>&1 </dev/null || :
        done <"$1/$2.images"
    fi
    rm -f "$1/$2.images" "$1/$2.pin.yaml" "$1/$2.manifest"
    for collect_left in "$1"/*.manifest "$1/current" "$1/pending" "$1/kept/index" "$1/lock"; do
        [ ! -e "$collect_left" ] && [ ! -L "$collect_left" ] || return 0
    done
    rm -rf "$1"
}
