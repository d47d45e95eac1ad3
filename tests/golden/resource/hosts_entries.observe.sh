{
set -- /etc/hosts
for p do
  if [ -e "$p" ]; then sha256sum -- "$p" 2>&1; echo "text $p"; head -c 65537 -- "$p" | sed 's/^/|/'; echo; echo end
  else echo "absent $p"; fi
done
:
} || exit
echo 'poclab: looked'
