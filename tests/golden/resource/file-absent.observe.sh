{
set -- /etc/x
for p do
  shift
  if [ -e "$p" ] || [ -L "$p" ]; then set -- "$@" "$p"; else echo "absent $p"; fi
done
[ $# -eq 0 ] || stat -c 'stat %f %U %G %s %n' -- "$@" 2>&1
n=$#
while [ "$n" -gt 0 ]; do
  if [ -f "$1" ] && [ ! -L "$1" ]; then set -- "$@" "$1"; fi
  shift; n=$((n - 1))
done
h=
if [ $# -gt 0 ]; then h=$(sha256sum -- "$@" 2>&1); printf '%s\n' "$h"; fi
h="$h
"
if [ $# -gt 0 ] && [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon -nv "$@" 2>/dev/null; fi
:
} || exit
echo 'poclab: looked'
