{
set -- /etc/sysctl.d/90-poclab-vm.max_map_count.conf
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
text 784c0030f8517b28e1f3d3bb08489af538c6ba6c59bed4231d07a6d35e46c2af /etc/sysctl.d/90-poclab-vm.max_map_count.conf
:
live() { if [ -e "/proc/sys/$2" ]; then v=$(cat "/proc/sys/$2") && echo "live $1 $v"; else echo "dead $1"; fi; }
live vm.max_map_count vm/max_map_count
:
} || exit
echo 'poclab: looked'
