# make SELinux enforcing
echo 'SELinux is off in the running kernel; switching it on needs a reboot. On this host: set SELINUX=enforcing in /etc/selinux/config, take selinux=0 and enforcing=0 from the kernel command line (grubby --update-kernel=ALL --remove-args="selinux enforcing"), touch /.autorelabel, reboot; then run again' >&2
exit 1
