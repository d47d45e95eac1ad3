# shellcheck shell=bash
# What the rehearsal's scripts share. Sourced, never run.
#
# Paths: everything that is built lives in $CACHE, under a name that carries a hash of what it was
# built from; a thing is built beside its place and renamed, so that an interrupted build leaves
# nothing that looks finished.

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${POCLAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/poclab}
# The release whose packages become the hosts. Its firewalld, Docker and rpm are the ones that were tried.
SUITE=bookworm
ARCH=amd64
export HERE CACHE SUITE ARCH

SELF=$(basename "$0")

say() { printf '%s: %s\n' "$SELF" "$*"; }

die() {
    printf '%s: %s\n' "$SELF" "$*" >&2
    exit 1
}

# run something as root: directly, or through sudo
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || die "this needs root, and there is no sudo: run it as root"
        sudo "$@"
    fi
}

# A docker that can talk to the engine: a user outside the group `docker` goes through sudo.
docker() {
    if [ "$(id -u)" -eq 0 ] || [ -w /var/run/docker.sock ] || [ -n "${DOCKER_HOST:-}" ]; then
        command docker "$@"
    else
        as_root docker "$@"
    fi
}

# need COMMAND...: all must exist
need() {
    local missing=() c
    for c in "$@"; do
        command -v "$c" >/dev/null || missing+=("$c")
    done
    [ ${#missing[@]} -eq 0 ] || die "missing on this machine: ${missing[*]}; run rehearsal/install-prerequisites"
}

# hash_of PATH... : one hash over names and contents of files (folders are walked)
hash_of() {
    (
        cd "$HERE"
        find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
    )
}

# A temporary directory beside the final place (so that a rename is one step), removed at exit.
WORK=
make_work() {
    mkdir -p "$CACHE"
    WORK=$(mktemp -d "$CACHE/.work.XXXXXX")
    chmod 755 "$WORK"
    trap clean_work EXIT
    trap 'say "interrupted: what was half-built is removed"; exit 130' INT TERM
}

clean_work() {
    if [ -n "$WORK" ] && [ -d "$WORK" ]; then
        # files in it may belong to root when the build went through sudo
        rm -rf "$WORK" 2>/dev/null || as_root rm -rf "$WORK"
    fi
    return 0
}

# with_progress TEXT LOGFILE COMMAND...: run a long command quietly, say every 15 s that it goes on,
# show the end of its log when it fails.
with_progress() {
    local text=$1 log=$2 start=$SECONDS pid said=0
    shift 2
    say "$text"
    # a password is asked for here, in the foreground, or not at all
    if [ "$1" = as_root ] && [ "$(id -u)" -ne 0 ]; then sudo -v || die "this needs root, and sudo said no"; fi
    # a process group of its own: an interrupt must end all of it, whatever it has started
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    # shellcheck disable=SC2064 # the process id of now is meant
    trap "end_group $pid; say 'interrupted: what was half-built is removed'; exit 130" INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.5
        if [ $((SECONDS - start - said)) -ge 15 ]; then
            said=$((SECONDS - start))
            say "  … $said s: $(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)"
        fi
    done
    trap 'say "interrupted: what was half-built is removed"; exit 130' INT TERM
    if ! wait "$pid"; then
        tail -n 25 "$log" | sed 's/^/    /' >&2
        die "failed: $text (log above)"
    fi
    say "  done in $((SECONDS - start)) s"
}

# end a process group that we started, and wait until it has cleaned up behind itself
end_group() {
    local i
    kill -TERM -- "-$1" 2>/dev/null || as_root kill -TERM -- "-$1" 2>/dev/null || true
    for i in $(seq 150); do
        # an empty group: nobody is left to send a signal to (as root, else "not permitted" would look the same)
        as_root kill -0 -- "-$1" 2>/dev/null || return 0
        [ "$i" -ne 10 ] || say "interrupted: waiting for the step to clean up"
        sleep 0.2
    done
    as_root kill -KILL -- "-$1" 2>/dev/null || true
}

# The apt sources of $SUITE, as one-line entries, into the file $1. First choice: what this machine is
# configured with (its mirrors, its proxies); else mmdebstrap's own default for the suite.
debian_sources() {
    local out=$1 line
    if [ -n "${POCLAB_DEBIAN_SOURCES:-}" ]; then
        cp "$POCLAB_DEBIAN_SOURCES" "$out"
        return
    fi
    # shellcheck disable=SC2016 # these are apt's fields, not ours
    apt-get indextargets --format '$(IDENTIFIER)|$(ORIGIN)|$(RELEASE)|$(SITE)|$(COMPONENT)|$(REPO_URI)' 2>/dev/null |
        awk -F'|' -v s="$SUITE" '$1 == "Packages" && $2 == "Debian" && ($3 == s || $3 == s "-updates" || $3 == s "-security") {
                site = ($6 != "" && $6 !~ /^\$/) ? $6 : $4
                print "deb " site " " $3 " " $5 }' | sort -u >"$out"
    if grep -q " $SUITE main" "$out"; then
        return
    fi
    say "this machine has no apt source for Debian $SUITE: asking mmdebstrap for its default"
    [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        die "the package debian-archive-keyring is missing; run rehearsal/install-prerequisites"
    as_root mmdebstrap --quiet --variant=custom --architectures="$ARCH" \
        --customize-hook="download /etc/apt/sources.list $out" "$SUITE" /dev/null
    while read -r line; do
        [[ $line == deb* ]] && return
    done <"$out"
    die "no apt source for Debian $SUITE found; name a file with sources in POCLAB_DEBIAN_SOURCES"
}

# apt's own settings that decide whether a download works here (proxies), for tools with an apt of their own
apt_proxy_options() {
    apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::Proxy' || true
}
