{
set -- /etc/docker/daemon.json /etc/key
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
text() {
  case "$h" in *"$1  $2
"*) return 0 ;; esac
  if [ -f "$2" ] && [ ! -L "$2" ]; then echo "text $2"; head -c 65537 -- "$2" | sed 's/^/|/'; echo; echo end; fi
}
text ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356 /etc/docker/daemon.json
:
} || exit
echo 'poclab: looked'
