# create hook of x
set -e
umask 077
poclab_t=$(mktemp -d /tmp/poclab-api.XXXXXX)
trap 'rm -rf "$poclab_t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
poclab_flat() {
  awk '
    { text = text $0 "\n" }
    END {
      n = length(text); depth = 0; top = (text ~ /^[ \t\n]*\[/) ? 2 : 1
      for (i = 1; i <= n; i++) {
        c = substr(text, i, 1); word = ""
        if (c == "\"") {
          for (j = i + 1; j <= n && substr(text, j, 1) != "\""; j++) if (substr(text, j, 1) == "\\") j++
          word = substr(text, i, j - i + 1); i = j
        } else if (c == "{" || c == "[") { depth++; if (depth == top) { side = "key"; item++ } }
        else if (c == "}" || c == "]") depth--
        else if (depth == top && c == ":") side = "value"
        else if (depth == top && c == ",") side = "key"
        else if (depth == top && side == "value" && c ~ /[-0-9a-z]/) {
          match(substr(text, i), /^[-+.0-9A-Za-z]+/); word = substr(text, i, RLENGTH); i += RLENGTH - 1
        }
        if (word == "" || depth != top) continue
        if (side == "key") key = word; else printf "%d\t%s\t%s\n", item, key, word
      }
    }'
}
poclab_field() { poclab_flat | awk -F '\t' -v key="\"$1\"" '$1 == 1 && $2 == key { gsub(/^"|"$/, "", $3); print $3; exit }'; }
poclab_has() {
  poclab_flat | awk '
    FILENAME != "-" { want[$0]; all++; next }
    { item = $1; sub(/^[^\t]*\t/, ""); if ($0 in want) found[item]++ }
    END { for (item in found) if (found[item] == all) exit 0; exit 1 }' "$1" -
}
poclab_call() {
  poclab_m=$1 poclab_p=$2 poclab_b=$3
  poclab_until=$(($(date +%s) + 90))
  while :; do
    set --
    [ -z "$poclab_b" ] || set -- -H 'Content-Type: application/json' --data-binary "@$poclab_t/$poclab_b"
    poclab_s=$(curl -q -K "$poclab_t/config" -X "$poclab_m" "$@" -o "$poclab_t/answer" -w '%{http_code}' https://gitlab.lab.example/api/v4"$poclab_p" 2>"$poclab_t/err") || poclab_s=000
    case $poclab_s in 2??) return 0 ;; esac
    [ "$(date +%s)" -lt "$poclab_until" ] || break
    sleep 2
  done
  if [ "$poclab_s" = 000 ]; then echo "$poclab_m $poclab_p: the API did not answer: $(tail -n 1 "$poclab_t/err")" >&2
  else echo "$poclab_m $poclab_p: the API answered $poclab_s: $(head -c 1000 "$poclab_t/answer")" >&2; fi
  exit 1
}
head -c 113 >"$poclab_t/config"
head -c 36 >"$poclab_t/body"
head -c 20 >"$poclab_t/match"
exec </dev/null
poclab_call GET '/projects/a%2Fb/hooks?per_page=100' ''
if poclab_has "$poclab_t/match" <"$poclab_t/answer"; then
  echo 'it was created by something else since it was looked at: run again' >&2
  exit 1
fi
poclab_call GET /groups/a ''
poclab_v=$(poclab_field id <"$poclab_t/answer")
case $poclab_v in '' | *[!0-9]*) echo 'GET /groups/a: the answer has no number id' >&2; exit 1 ;; esac
{ printf '{%s:%s' '"group"' "$poclab_v"; sed '1s/^{}$/}/; 1s/^{"/,"/' "$poclab_t/body"; } >"$poclab_t/body.new"
mv -f "$poclab_t/body.new" "$poclab_t/body"
poclab_call POST /projects/a%2Fb/hooks body
mkdir -p /var/lib/poclab/api
printf '%s %s\n' 0e3dde49c3198b4a5aa511ad80f4d57c90742f9898578e8f12dd5a8c3fb2f8b1 "$(poclab_field id <"$poclab_t/answer")" >/var/lib/poclab/api/2ff5e9a4cdfb765c.new
mv -f /var/lib/poclab/api/2ff5e9a4cdfb765c.new /var/lib/poclab/api/2ff5e9a4cdfb765c
