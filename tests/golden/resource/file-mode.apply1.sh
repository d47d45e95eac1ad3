# set owner and mode of /etc/docker/daemon.json
chown -- root:root /etc/docker/daemon.json && chmod -- 0644 /etc/docker/daemon.json
