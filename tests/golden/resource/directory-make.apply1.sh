# make the directory /srv/registry
set -e
mkdir -p -- /srv/registry
chown -- root:root /srv/registry
if [ -d /srv/registry ]; then chmod -- ug-s /srv/registry; fi
chmod -- 0750 /srv/registry
if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon /srv/registry; fi
