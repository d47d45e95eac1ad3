# make SELinux enforcing
set -e
setenforce 1
sed -i --follow-symlinks 's/^[[:space:]]*SELINUX=.*/SELINUX=enforcing/' /etc/selinux/config
