{
i=0
set -- /usr/bin/x
for p do
  if [ -L "$p" ]; then to=$(readlink -- "$p") && printf '%s link %s\n' "$i" "$to"
  elif [ -e "$p" ]; then echo "$i other"; else echo "$i absent"; fi
  i=$((i + 1))
done
:
} || exit
echo 'poclab: looked'
