# enable and start docker
set -e
systemctl daemon-reload
systemctl enable docker
systemctl reset-failed docker
systemctl start docker || { e=$?; echo "the last lines of its log:"; journalctl -u docker -n 15 --no-pager 2>&1 || :; exit "$e"; }
