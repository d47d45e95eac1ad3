# write the lab's names into /etc/hosts
set -e
p=/etc/hosts d=/etc
fail() { echo "$p: $1" >&2; exit 1; }
[ -d "$d" ] || fail "the directory $d does not exist"
if [ -d "$p" ] && [ ! -L "$p" ]; then rmdir -- "$p" || fail "is a directory that is not empty: move it away"; fi
rm -f -- "$d"/.poclab.??????
t=$(mktemp "$d/.poclab.XXXXXX") || fail 'cannot make a temporary file'
trap 'rm -f -- "$t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
head -c 94 | dd of="$t" bs=65536 conv=fsync status=none || fail 'cannot write (is the disk full?)'
exec </dev/null
n=$(wc -c <"$t")
[ "$n" -eq 94 ] || fail "only $n of 94 bytes arrived (is the disk full?)"
[ "$(sha256sum <"$t")" = '5db8da2f89e7d1273490ac38d2675b58aefadef0012bd1125977f0be751c4056  -' ] || fail 'what was written is not what was sent'
chown root:root "$t"
chmod 0644 "$t"
selinux() { [ -e /sys/fs/selinux/enforce ] && command -v "$1" >/dev/null; }
if selinux chcon; then
  if [ -f "$p" ]; then chcon --reference="$p" "$t"
  elif selinux matchpathcon; then c=$(matchpathcon -n "$p"); [ "$c" = '<<none>>' ] || chcon "$c" "$t"; fi
fi
if grep -qF " $p " /proc/self/mountinfo; then cat "$t" >"$p"; else mv -fT -- "$t" "$p"; fi
if selinux restorecon; then restorecon "$p"; fi
