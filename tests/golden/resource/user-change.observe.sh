set -- ops
for u do
  if l=$(getent passwd "$u"); then
    printf 'user %s\ngroup %s %s\ngroups %s %s\n' "$l" "$u" "$(id -gn "$u")" "$u" "$(id -Gn "$u")"
  elif [ $? -eq 2 ]; then echo "absent $u"; fi
done
:
poclab_r=$?
[ "$poclab_r" -ne 0 ] || echo 'poclab: looked'
exit "$poclab_r"
