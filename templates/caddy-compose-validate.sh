docker compose -p "$project" --project-directory . -f compose.yaml --env-file /dev/null config -q || exit 1
exec docker run --rm --network none -v "$PWD:/etc/caddy:ro" "$image" \
    caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile
