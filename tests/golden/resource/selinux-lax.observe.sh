{
if [ -e /sys/fs/selinux/enforce ]; then printf 'kernel %s\n' "$(cat /sys/fs/selinux/enforce)"
elif command -v getenforce >/dev/null && [ "$(getenforce 2>/dev/null)" != Disabled ]; then echo 'kernel unclear'
else echo 'kernel none'; fi
if [ -e /etc/selinux/config ]; then sed -n 's/^[[:space:]]*SELINUX=[[:space:]]*/config /p' /etc/selinux/config; fi
if [ -e /etc/poclab-rehearsal ]; then echo rehearsal; fi
} || exit
echo 'poclab: looked'
