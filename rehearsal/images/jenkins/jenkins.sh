#!/bin/bash
# As in the official image: what the image brings is there for the server to take over, then the server runs. The options of its
# command line are those of JENKINS_OPTS and the container's.
set -e

: "${JENKINS_HOME:=/var/jenkins_home}"
[ -w "$JENKINS_HOME" ] || {
    echo "touch: cannot touch '$JENKINS_HOME/copy_reference_file.log': Permission denied" >&2
    echo "Can not write to $JENKINS_HOME. Wrong volume permissions?" >&2
    exit 1
}
if [ $# -eq 0 ] || [ "${1#--}" != "$1" ]; then
    # shellcheck disable=SC2086 # several options in one variable, as the official image has them
    exec /usr/local/bin/poclab-jenkins $JENKINS_OPTS "$@"
fi
exec "$@"
