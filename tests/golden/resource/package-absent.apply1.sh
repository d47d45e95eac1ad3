# remove podman
set -e
rpm -e -- podman
