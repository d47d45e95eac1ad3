# set the host name to app.lab.example
if command -v hostnamectl >/dev/null && timeout 10 hostnamectl set-hostname app.lab.example 2>/dev/null &&
  [ "$(cat /etc/hostname)" = app.lab.example ] && [ "$(cat /proc/sys/kernel/hostname)" = app.lab.example ]; then exit 0; fi
printf '%s\n' app.lab.example >/etc/hostname && hostname app.lab.example
