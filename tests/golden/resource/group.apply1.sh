# make the group docker
groupadd -r -g 990 docker
