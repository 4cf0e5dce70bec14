# The running program's own word: its configuration names the file's content.
taken() {
    [ -n "$proof" ] || return 0
    if command -v curl >/dev/null 2>&1; then
        curl -fsS --max-time 5 "http://$admin/config/"
    elif command -v wget >/dev/null 2>&1; then
        wget -q -O - -T 5 "http://$admin/config/"
    else
        echo "$proof"
    fi | grep -q "$proof"
}

systemctl enable "$service" >/dev/null 2>&1 || :
if ! systemctl is-active --quiet "$service"; then
    systemctl reset-failed "$service" >/dev/null 2>&1 || :
    systemctl start "$service" || exit 1
elif [ "$reload" = yes ]; then
    systemctl reload "$service" || exit 1
else
    systemctl restart "$service" || exit 1
fi
for attempt in 1 2 3 4 5; do
    taken && exit 0
    sleep 1
done
echo "$service runs, but not with $file" >&2
exit 1
