# set owner and mode of /etc/docker/daemon.json
set -e
chown -- root:root /etc/docker/daemon.json
if [ -d /etc/docker/daemon.json ]; then chmod -- ug-s /etc/docker/daemon.json; fi
chmod -- 0644 /etc/docker/daemon.json
