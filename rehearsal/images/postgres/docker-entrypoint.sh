#!/bin/sh
# As the official image's, as far as this lab uses it: makes the database at the first start (POSTGRES_USER, POSTGRES_DB,
# POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_INITDB_ARGS), then becomes the server. Runs as the image's user, not as root.
set -eu

case ${1-} in
-* | '') set -- postgres "$@" ;;
esac
[ "$1" = postgres ] || exec "$@"

fail() {
    echo "Error: $*" >&2
    exit 1
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=${POSTGRES_PASSWORD:-}
    [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
    [ -n "$password" ] || fail "Database is uninitialized and superuser password is not specified."
    user=${POSTGRES_USER:-postgres}
    new=$PGDATA/new
    chmod 0700 "$PGDATA"
    # What an interrupted start has left is no database.
    rm -rf "${PGDATA:?}"/*
    printf '%s\n' "$password" >/tmp/password
    # shellcheck disable=SC2086 # a list of options, as in the official image
    initdb --username="$user" --pwfile=/tmp/password ${POSTGRES_INITDB_ARGS:-} -D "$new"
    rm -f /tmp/password
    printf 'host all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$new/pg_hba.conf"
    pg_ctl -D "$new" -o "-c listen_addresses=''" -w start
    [ "${POSTGRES_DB:-$user}" = postgres ] || createdb --username="$user" --maintenance-db=postgres "${POSTGRES_DB:-$user}"
    pg_ctl -D "$new" -m fast -w stop >/dev/null
    for file in "$new"/*; do
        [ "$file" = "$new/PG_VERSION" ] || mv "$file" "$PGDATA/"
    done
    # Last: it says that all of it is there.
    mv "$new/PG_VERSION" "$PGDATA/"
    rmdir "$new"
fi
exec "$@"
