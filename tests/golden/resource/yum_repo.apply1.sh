# write /etc/yum.repos.d/poclab-os.repo
set -e
p=/etc/yum.repos.d/poclab-os.repo d=/etc/yum.repos.d
fail() { echo "$p: $1" >&2; exit 1; }
[ -d "$d" ] || fail "the directory $d does not exist"
if [ -d "$p" ] && [ ! -L "$p" ]; then rmdir -- "$p" || fail "is a directory that is not empty: move it away"; fi
rm -f -- "$d"/.poclab.??????
t=$(mktemp "$d/.poclab.XXXXXX") || fail 'cannot make a temporary file'
trap 'rm -f -- "$t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
head -c 122 | dd of="$t" bs=65536 conv=fsync status=none || fail 'cannot write (is the disk full?)'
exec </dev/null
n=$(wc -c <"$t")
[ "$n" -eq 122 ] || fail "only $n of 122 bytes arrived (is the disk full?)"
[ "$(sha256sum <"$t")" = '8bcfc91bc140d7ef02091bf806995d778b4518b67b8de21114686e61f0b72b74  -' ] || fail 'what was written is not what was sent'
chown root:root "$t"
chmod 0644 "$t"
selinux() { [ -e /sys/fs/selinux/enforce ] && command -v "$1" >/dev/null; }
if selinux chcon; then
  if [ -f "$p" ]; then chcon --reference="$p" "$t"
  elif selinux matchpathcon; then c=$(matchpathcon -n "$p"); [ "$c" = '<<none>>' ] || chcon "$c" "$t"; fi
fi
mv -fT -- "$t" "$p"
if selinux restorecon; then restorecon "$p"; fi
rm -rf -- /var/cache/yum/*/*/poclab-os /var/cache/dnf/poclab-os-*
