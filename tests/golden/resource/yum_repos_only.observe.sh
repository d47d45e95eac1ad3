for f in /etc/yum.repos.d/*.repo; do
  if [ -e "$f" ] || [ -L "$f" ]; then printf '%s\n' "${f##*/}"; fi
done
echo end
poclab_r=$?
[ "$poclab_r" -ne 0 ] || echo 'poclab: looked'
exit "$poclab_r"
