systemctl enable lsyncd >/dev/null 2>&1 || :
systemctl reset-failed lsyncd >/dev/null 2>&1 || :
exec systemctl restart lsyncd
