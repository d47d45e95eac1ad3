{
if [ -e /sys/fs/selinux/enforce ]; then echo 'selinux on'; else echo 'selinux off'; fi
if [ -e /etc/poclab-rehearsal ]; then echo rehearsal; fi
poclab_type=
if [ -e /etc/selinux/config ]; then poclab_type=$(sed -n 's/^[[:space:]]*SELINUXTYPE=[[:space:]]*//p' /etc/selinux/config | tail -n 1); fi
kept() { if [ -e "$1" ]; then sed 's/^/kept /' "$1" || exit 1; fi; }
kept "/etc/selinux/$poclab_type/active/booleans.local"
kept "/var/lib/selinux/$poclab_type/active/booleans.local"
live() { if [ -e "/sys/fs/selinux/booleans/$1" ]; then echo "live $1 $(cat "/sys/fs/selinux/booleans/$1")"; else echo "dead $1"; fi; }
live virt_use_nfs
live httpd_enable_cgi
} || exit
echo 'poclab: looked'
