{
set -- ops
for u do
  if l=$(getent passwd "$u"); then
    printf 'user %s\ngroup %s %s\ngroups %s %s\n' "$l" "$u" "$(id -gn "$u")" "$u" "$(id -Gn "$u")"
  elif [ $? -eq 2 ]; then echo "absent $u"; fi
done
:
} || exit
echo 'poclab: looked'
