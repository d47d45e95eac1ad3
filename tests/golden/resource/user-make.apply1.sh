# make the user ops
useradd -m -g wheel -d '/srv/it'\''s' -s /bin/bash -G docker -- ops
