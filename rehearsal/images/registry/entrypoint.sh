#!/bin/sh
# As in the official image: a configuration file alone, or a subcommand, is given to `registry`.
set -e

case "$1" in
*.yaml | *.yml) set -- registry serve "$@" ;;
serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac

exec "$@"
