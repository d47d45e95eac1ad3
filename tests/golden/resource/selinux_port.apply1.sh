# give port 2222/tcp the type ssh_port_t
semanage port -m -t ssh_port_t -p tcp 2222 2>/dev/null || semanage port -a -t ssh_port_t -p tcp 2222
