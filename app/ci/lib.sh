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
