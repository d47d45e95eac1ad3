# label /srv/registry(/.*)? as container_file_t
set -e
semanage fcontext -m -f a -t container_file_t '/srv/registry(/.*)?' 2>/dev/null || semanage fcontext -a -f a -t container_file_t '/srv/registry(/.*)?'
if [ -e /srv/registry ]; then restorecon -R /srv/registry; fi
