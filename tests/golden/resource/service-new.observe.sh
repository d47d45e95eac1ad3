if command -v systemctl >/dev/null; then
  systemctl show -p Id -p LoadState -p ActiveState -p SubState -p UnitFileState -p NeedDaemonReload -- docker 2>&1
else
  echo 'no systemctl'
fi
poclab_r=$?
[ "$poclab_r" -ne 0 ] || echo 'poclab: looked'
exit "$poclab_r"
