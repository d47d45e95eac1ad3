{
g() {
timeout 60 sh /dev/fd/3 3<<'POCLAB_3e81c6b102aeceb6'
grep -q /swap /proc/swaps
POCLAB_3e81c6b102aeceb6
}
g >/dev/null 2>&1
echo "0 $?"
if [ -e /b ] || [ -L /b ]; then echo '1 0'; else echo '1 1'; fi
} || exit
echo 'poclab: looked'
