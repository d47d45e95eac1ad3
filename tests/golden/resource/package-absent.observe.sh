if command -v rpm >/dev/null; then
  rpm -q --qf 'rpm %{NAME} %{VERSION}-%{RELEASE}\n' podman 2>&1
else
  echo 'no rpm'
fi
:
poclab_r=$?
[ "$poclab_r" -ne 0 ] || echo 'poclab: looked'
exit "$poclab_r"
