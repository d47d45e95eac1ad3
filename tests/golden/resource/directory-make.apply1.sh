# make the directory /srv/registry
set -e
poclab_new=/srv/registry
while [ -n "${poclab_new%/*}" ] && [ ! -e "${poclab_new%/*}" ]; do poclab_new=${poclab_new%/*}; done
mkdir -p -- /srv/registry
chown -- root:root /srv/registry
if [ -d /srv/registry ]; then chmod -- ug-s /srv/registry; fi
chmod -- 0750 /srv/registry
if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon -R "$poclab_new"; fi
