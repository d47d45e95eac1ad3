#!/bin/sh
# As in the official image, without its templates.
set -e
exec "$@"
