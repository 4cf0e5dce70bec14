# The running program's own word: its configuration names the file's content.
ask() {
    if command -v curl >/dev/null 2>&1; then
        curl -fsS --max-time 5 "http://$admin/config/"
    elif command -v wget >/dev/null 2>&1; then
        wget -q -O - -T 5 "http://$admin/config/"
    else
        return 1
    fi
}
taken() {
    [ -n "$proof" ] && ask 2>/dev/null | grep -q "$proof"
}
# Without a proof, without a program to ask with, or with a file that others wrote, the service's word must do.
mute() {
    [ -z "$proof" ] || [ -n "${GITSYNC_RETURNED:-}" ] || ! { command -v curl || command -v wget; } >/dev/null 2>&1
}

systemctl enable "$service" >/dev/null 2>&1 || :
if ! systemctl is-active --quiet "$service"; then
    systemctl reset-failed "$service" >/dev/null 2>&1 || :
    systemctl start "$service" || exit 1
elif taken; then
    # It runs with this file: a reload could only drop connections that wait to be accepted.
    exit 0
elif [ "$reload" = yes ]; then
    systemctl reload "$service" || exit 1
else
    systemctl restart "$service" || exit 1
fi
if mute; then
    exit 0
fi
for attempt in 1 2 3 4 5; do
    taken && exit 0
    sleep 1
done
echo "$service runs, but not with $file" >&2
exit 1
