# Shared by the scripts of this folder. Sourced, not run.

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

say() {
    echo "==> $*"
}

# The application's folder.
APP=$(cd "$(dirname "$0")/.." && pwd)

# The part that this step works on.
part_of() {
    case ${1-} in
    simple_api) PACKAGE=student_api ;;
    website) PACKAGE=student_website ;;
    *) fail "the first argument is simple_api or website, not \"${1-}\"" ;;
    esac
    PART=$1
}
