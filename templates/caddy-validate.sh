# Checked as the user that runs the program: it must be able to read what the file names, and what the check makes on
# the way must stay its own.
if [ "$(id -u)" = 0 ] && id caddy >/dev/null 2>&1 && command -v runuser >/dev/null 2>&1; then
    runuser -u caddy -- env HOME=/var/lib/caddy caddy validate --config - --adapter caddyfile <Caddyfile || exit 1
else
    caddy validate --config Caddyfile --adapter caddyfile || exit 1
fi
case $(systemctl cat "$service" 2>/dev/null) in
*"$file"*) ;;
*)
    echo "$service.service is not there or does not read $file" >&2
    exit 1
    ;;
esac
