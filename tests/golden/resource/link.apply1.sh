# link /usr/bin/x to /opt/x
set -e
if [ -d /usr/bin/x ] && [ ! -L /usr/bin/x ]; then rmdir -- /usr/bin/x; fi
rm -f -- /usr/bin/.poclab.link
ln -s -- /opt/x /usr/bin/.poclab.link
mv -fT -- /usr/bin/.poclab.link /usr/bin/x
