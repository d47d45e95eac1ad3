set -- docker
for g do
  if l=$(getent group "$g"); then printf 'group %s\n' "$l"; elif [ $? -eq 2 ]; then echo "absent $g"; fi
done
:
poclab_r=$?
[ "$poclab_r" -ne 0 ] || echo 'poclab: looked'
exit "$poclab_r"
