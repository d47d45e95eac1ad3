# downgrade b-1-1, install a-2-1 d, update c
set -e
holder() {
  for f in /var/run/yum.pid /var/lib/dnf/*_lock.pid /var/cache/dnf/*_lock.pid; do
    p=$(cat "$f" 2>/dev/null) || continue
    [ -d "/proc/$p" ] || continue
    echo "process $p: $(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null)"
    return 0
  done
  echo 'process unknown'
}
manager() {
  n=0
  while :; do
    s=0
    yum -y --setopt=skip_missing_names_on_install=False --setopt=exit_on_lock=1 --setopt=timeout=15 --setopt=retries=3 "$@" || s=$?
    if [ "$s" -ne 200 ] || [ "$n" -ge 24 ]; then break; fi
    n=$((n + 1))
    echo "another program holds the lock of yum ($(holder)): waiting 5 seconds"
    sleep 5
  done
  case $s in
    0) return 0 ;;
    200) echo "yum is locked by another program ($(holder)) for 2 minutes: wait until it is done, then run again" >&2 ;;
    127) echo 'there is no yum on this host' >&2 ;;
    *) echo "yum $1 failed with exit status $s: its messages are above; a repository that cannot be reached, a missing version or a full disk are the usual reasons" >&2 ;;
  esac
  exit 1
}
manager downgrade b-1-1
manager install a-2-1 d
manager update c
bad=0
have() {
  if ! v=$(rpm -q --qf '%{VERSION}-%{RELEASE}\n' "$1"); then
    echo "yum succeeded but $1 is not installed" >&2; bad=1
  elif [ -n "$2" ] && ! printf '%s\n' "$v" | grep -qxF -e "$2"; then
    echo "yum succeeded but $1 is $v, want $2" >&2; bad=1
  fi
}
have a 2-1
have b 1-1
have c ''
have d ''
exit "$bad"
