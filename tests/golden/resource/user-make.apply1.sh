# make the user ops
if getent passwd ops >/dev/null; then usermod -g wheel -d '/srv/it'\''s' -s /bin/bash -aG docker -- ops; else useradd -m -g wheel -d '/srv/it'\''s' -s /bin/bash -G docker -- ops; fi
