
# --- verbs

# answer VERB: everything but the few verbs that have no request.
answer() {
    case $1 in
    observe | prepare | change | stop | put-back | bring-up | probe | hold | unlock | confirm | abandon | unquarantine | read | read-files | \
        logs | manifest) ;;
    *)
        bad refused "this script knows no verb \`$(one_line "$1")\`"
        finish_bad
        ;;
    esac
    request_file=/dev/null
    if [ "$1" != hold ]; then
        work_open || finish_bad
        request_file=$work/request
    fi
    mkdir -p "$root/mutex" 2>/dev/null || { bad node "cannot write below $root"; finish_bad; }
    read_header || finish_bad
    [ -z "$work" ] || sed -n '/^unit /{p;q;}' "$work/request" >"$work/request.unit"
    case $1 in
    observe) verb_observe ;;
    prepare) verb_prepare ;;
    change) verb_change ;;
    stop) verb_stop ;;
    put-back) verb_put_back ;;
    bring-up) verb_bring_up ;;
    probe) verb_probe ;;
    hold) verb_hold ;;
    unlock) verb_unlock ;;
    confirm) verb_confirm ;;
    abandon) verb_abandon ;;
    unquarantine) verb_unquarantine ;;
    read) verb_read ;;
    read-files) verb_read_files ;;
    logs) verb_logs ;;
    manifest) verb_manifest ;;
    esac
}

case $verb in
job)
    shift
    verb_job "$@"
    ;;
keep)
    shift
    verb_keep "$@"
    ;;
watch)
    shift
    verb_watch "$@"
    ;;
boot)
    shift
    verb_boot "$@"
    ;;
restore)
    if [ $# -lt 2 ]; then
        printf 'usage: sh %s restore <unit> [<fleet>]\n       sh %s restore --all\n' "$0" "$0" >&2
        exit 2
    fi
    shift
    verb_restore "$@"
    ;;
*) answer "$verb" ;;
esac
