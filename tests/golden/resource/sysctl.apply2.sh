# set vm.max_map_count to 262144
sysctl -w vm.max_map_count=262144 >/dev/null
