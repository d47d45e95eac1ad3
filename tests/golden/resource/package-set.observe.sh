{
if command -v rpm >/dev/null; then
  rpm -q --qf 'rpm %{NAME} %{VERSION}-%{RELEASE}\n' a b c d 2>&1
else
  echo 'no rpm'
fi
:
} || exit
echo 'poclab: looked'
