{
printf 'live %s\n' "$(cat /proc/sys/kernel/hostname)"
if [ -e /etc/hostname ]; then printf 'stored %s\n' "$(cat /etc/hostname)"; fi
} || exit
echo 'poclab: looked'
