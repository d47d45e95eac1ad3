# set owner and mode of /srv/x
set -e
chown -- root:root /srv/x
if [ -d /srv/x ]; then chmod -- ug-s /srv/x; fi
chmod -- 0755 /srv/x
restorecon /srv/x
