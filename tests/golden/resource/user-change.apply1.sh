# change the user ops
usermod -g wheel -d '/srv/it'\''s' -s /bin/bash -aG docker -- ops
