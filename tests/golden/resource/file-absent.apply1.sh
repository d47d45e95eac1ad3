# remove /etc/x
if [ -d /etc/x ] && [ ! -L /etc/x ]; then rmdir -- /etc/x; else rm -f -- /etc/x; fi
