#!/bin/sh
# Builds the application's images, the same on a laptop and in the pipeline:
#
#     ./build.sh [simple_api] [website]
#
# They are called PREFIX/simple_api and PREFIX/website (IMAGE_PREFIX, default student_list; a registry's address may be in
# front) and tagged with the commit's full SHA. A tree with changes that are not committed is refused; with ALLOW_DIRTY=1
# it is built and the tag ends in -dirty. PYTHON_IMAGE, PIP_INDEX_URL and PIP_NO_INDEX=1 choose where things come from.
# BUILD_TARGET=gates stops after the quality gates (ci/gates): nothing but their verdict comes out.
set -eu
cd "$(dirname "$0")"

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

PREFIX=${IMAGE_PREFIX:-student_list}
sha=$(git rev-parse --verify HEAD 2>/dev/null) || fail "this is not a git checkout with a commit: images are tagged with the commit"
dirty=$(git status --porcelain -- .)
if [ -n "$dirty" ]; then
    [ "${ALLOW_DIRTY:-0}" = 1 ] || fail "there are changes that are not committed (ALLOW_DIRTY=1 builds them, marked -dirty):
$dirty"
    sha=$sha-dirty
fi
version=$(cat VERSION.txt)
[ $# -gt 0 ] || set -- simple_api website
for part; do
    [ -f "$part/Dockerfile" ] || fail "there is no $part here: write simple_api or website"
done
for part; do
    image=$PREFIX/$part:$sha
    [ -z "${BUILD_TARGET:-}" ] || image=$PREFIX/$part-$BUILD_TARGET:latest
    echo "==> $image"
    docker build --force-rm --file "$part/Dockerfile" --tag "$image" \
        ${BUILD_TARGET:+--target "$BUILD_TARGET" --label "student_list.stage=$BUILD_TARGET"} \
        --build-arg "APP_VERSION=$version" --build-arg "COMMIT_SHA=$sha" \
        ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"} \
        ${PIP_INDEX_URL:+--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"} \
        ${PIP_NO_INDEX:+--build-arg "PIP_NO_INDEX=$PIP_NO_INDEX"} \
        .
done
