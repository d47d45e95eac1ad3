# make the directory /srv/registry
set -e
if [ ! -d /srv/registry ] || [ -L /srv/registry ]; then rm -f -- /srv/registry; fi
mkdir -p -- /srv/registry
chown -- root:root /srv/registry
if [ -d /srv/registry ]; then chmod -- ug-s /srv/registry; fi
chmod -- 0755 /srv/registry
if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon /srv/registry; fi
