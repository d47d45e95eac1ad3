printf 'live %s\n' "$(cat /proc/sys/kernel/hostname)"
if [ -e /etc/hostname ]; then printf 'stored %s\n' "$(cat /etc/hostname)"; fi
poclab_r=$?
[ "$poclab_r" -ne 0 ] || echo 'poclab: looked'
exit "$poclab_r"
