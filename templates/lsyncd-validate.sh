for checker in luac luac5.4 luac5.3 luac5.2 luac5.1; do
    if command -v "$checker" >/dev/null 2>&1; then
        "$checker" -p lsyncd.conf.lua || exit 1
        break
    fi
done
command -v lsyncd >/dev/null 2>&1 || {
    echo "lsyncd is missing on the node" >&2
    exit 1
}
unit=$(systemctl cat lsyncd 2>/dev/null) || {
    echo "lsyncd.service is not there" >&2
    exit 1
}
# The distribution's service reads this file without naming it when it comes from an init script.
case "$file $unit" in
"/etc/lsyncd/lsyncd.conf.lua "* | *" "*"$file"*) ;;
*)
    echo "lsyncd.service does not read $file" >&2
    exit 1
    ;;
esac
