# Shared by the scripts of this folder. Sourced, not run.
# shellcheck shell=sh

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

say() {
    echo "==> $*"
}

# The application's folder.
APP=$(cd "$(dirname "$0")/.." && pwd)
# What one step leaves for the next one.
OUT=$APP/build
PARTS="simple_api website"

# part_of NAME: the part that this step works on.
part_of() {
    case ${1-} in
    simple_api) PACKAGE=student_api ;;
    website) PACKAGE=student_website ;;
    *) fail "the first argument is simple_api or website, not \"${1-}\"" ;;
    esac
    # shellcheck disable=SC2034 # for whoever sources this
    PART=$1 PACKAGE=$PACKAGE
}

# commit: the SHA that the images are tagged with, as build.sh does it.
commit() {
    [ -s "$OUT/commit" ] || fail "build/commit is missing: run ci/build first"
    cat "$OUT/commit"
}

# image PART: the built image's name.
image() {
    echo "${IMAGE_PREFIX:-student_list}/$1:$(commit)"
}

# digest PART: the pushed image, by digest.
digest() {
    [ -s "$OUT/$1.digest" ] || fail "build/$1.digest is missing: run ci/push first"
    cat "$OUT/$1.digest"
}

# candidate PART: the image by digest in the registry's repository of candidates, where it waits for the scanner's verdict.
candidate() {
    [ -s "$OUT/$1.candidate" ] || fail "build/$1.candidate is missing: run ci/scan first"
    cat "$OUT/$1.candidate"
}

# registry_login: as REGISTRY_USER, where one is given. A login of this run alone: the client would keep it in its home folder, readable.
registry_login() {
    [ -n "${REGISTRY:-}" ] || fail "REGISTRY is not set (such as registry.lab.example:5000)"
    [ -n "${REGISTRY_USER:-}" ] || return 0
    DOCKER_CONFIG=$(mktemp -d)
    export DOCKER_CONFIG
    trap 'rm -rf "$DOCKER_CONFIG"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '%s' "${REGISTRY_PASSWORD:-}" | docker login --username "$REGISTRY_USER" --password-stdin "$REGISTRY" >/dev/null 2>"$DOCKER_CONFIG/said" ||
        fail "$REGISTRY does not let $REGISTRY_USER in: $(tail -n 1 "$DOCKER_CONFIG/said")"
}

# pushed PART TARGET: pushes the built image to a repository of the registry, under the commit; sets PUSHED to where it is, by digest.
pushed() {
    docker tag "$(image "$1")" "$2:$(commit)"
    say "push $2:$(commit)"
    docker push --quiet "$2:$(commit)"
    PUSHED=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$2:$(commit)" | grep "^$2@sha256:" | head -n 1)
    [ -n "$PUSHED" ] || fail "the engine knows no digest of $2 after the push"
}
