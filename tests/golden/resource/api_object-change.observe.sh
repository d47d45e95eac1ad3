{
poclab_t=$(mktemp -d /tmp/poclab-api.XXXXXX) || exit 1
trap 'rm -rf "$poclab_t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
cd "$poclab_t" || exit 1
if [ -e /var/lib/poclab/api/2ff5e9a4cdfb765c ]; then printf 'kept 0 %s\n' "$(head -n 1 /var/lib/poclab/api/2ff5e9a4cdfb765c)"; fi
poclab_all='0'
if [ -e /opt/gitlab/x ]; then
  curl -q -K - >codes 2>err <<'POCLAB_c95bda7cfc65a904'
silent
show-error
globoff
connect-timeout = 10
max-time = 120
cacert = "/etc/ca.pem"
header = "PRIVATE-TOKEN: t"
write-out = "%{http_code}\n"
url = "https://gitlab.lab.example/api/v4/projects/a%2Fb/hooks?per_page=100"
output = "0"
POCLAB_c95bda7cfc65a904
  poclab_why=$(tail -n 1 err)
  # shellcheck disable=SC2046
  set -- $(cat codes)
  for poclab_i in $poclab_all; do
    [ -e "$poclab_i" ] || : >"$poclab_i"
    case ${1:-000} in
    000) printf 'silent %s %s\n' "$poclab_i" "$poclab_why" ;;
    *) echo "api $poclab_i $1 $(wc -c <"$poclab_i")"; cat "$poclab_i"; echo ;;
    esac
    [ $# -eq 0 ] || shift
  done
else
  for poclab_i in $poclab_all; do echo "absent $poclab_i"; done
fi
} || exit
echo 'poclab: looked'
