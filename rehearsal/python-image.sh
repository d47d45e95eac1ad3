# shellcheck shell=bash
# The image that the application's Dockerfiles start from (`python:3.11-slim-bookworm`), made of Debian packages with the
# official image's paths as far as the Dockerfiles use them, and with a folder of exactly the packages that the application
# pins. Sourced by build-mirror.

# What is in it: name and version of each are in its /var/lib/dpkg/status, so that a scanner sees what there is.
PYTHON_DONORS="python3.11 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib python3-pip python3-distutils python3-lib2to3
    libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libcrypt1 libdb5.3 libreadline8
    libncursesw6 libtinfo6 libnsl2 libtirpc3 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libcom-err2
    media-types tzdata ca-certificates busybox-static base-files"
PYTHON_REFERENCE=python:3.11-slim-bookworm
# Seen from this folder.
PINNED=(../app/simple_api/requirements.txt ../app/website/requirements.txt ../app/ci/requirements.txt ../app/deploy/requirements.txt)

# image_python ROOT ARGUMENTS...: runs the image's own Python on this machine
image_python() {
    local root=$1 libraries=$1/lib/x86_64-linux-gnu:$1/usr/lib/x86_64-linux-gnu
    shift
    PYTHONHOME=$root/usr PYTHONPATH=$root/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1 \
        "$root/lib64/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" "$root/usr/bin/python3.11" "$@"
}

# python_root ROOT: the packages, a shell, and the names of the official image
python_root() {
    local root=$1 name deb
    image_root "$root"
    # Scanners know dpkg's database by its status and the folder beside it.
    mkdir -p "$root/var/lib/dpkg/info" "$root/usr/local/bin" "$root/usr/local/lib/python3.11/dist-packages"
    for name in $PYTHON_DONORS; do
        deb=$(find "$WORK/debs" -name "${name}_*.deb" -print -quit)
        # One tree: a folder of one package is often a link of another.
        dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" --keep-directory-symlink --exclude './usr/share/doc/*' --exclude './usr/share/man/*' \
            --exclude './usr/share/locale/*' --no-same-owner -xf -
        { dpkg-deb -f "$deb" | sed '1a Status: install ok installed' && echo; } >>"$root/var/lib/dpkg/status"
    done
    cat "$DONOR"/ca-certificates/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
    # The official image's Python belongs to nobody's package manager: pip may install.
    rm -f "$root/usr/lib/python3.11/EXTERNALLY-MANAGED"
    for name in python python3 python3.11; do ln -sfn /usr/bin/python3.11 "$root/usr/local/bin/$name"; done
    for name in pip pip3; do
        printf '#!/usr/local/bin/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n' >"$root/usr/local/bin/$name"
        chmod 755 "$root/usr/local/bin/$name"
    done
    # Without its compiled form every start compiles the library anew; by content, so that the image is the same to the byte.
    image_python "$root" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$root" -p / \
        -x '/(test|tests|lib2to3|idlelib|pydoc_data|turtledemo)/' "$root/usr/lib/python3.11" "$root/usr/lib/python3/dist-packages/pip"
    image_python "$root" -W ignore -c 'import bz2, ctypes, hashlib, lzma, sqlite3, ssl, uuid, zlib, pip, distutils' ||
        die "the python image lacks something that Python needs (above)"
}

# fetch_wheels ROOT FOLDER: every pinned package of the application, checked by hash
fetch_wheels() {
    local list
    for list in "${PINNED[@]}"; do
        image_python "$1" -m pip download --quiet --disable-pip-version-check --no-cache-dir --require-hashes --only-binary :all: \
            --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none --platform manylinux_2_34_x86_64 \
            --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --dest "$2" --requirement "$HERE/$list"
    done
}

# wheels ROOT: the folder of pinned packages, from the cache where it has been fetched before
wheels() {
    local folder
    folder=$CACHE/wheels-$(hash_of "${PINNED[@]}")
    if [ ! -d "$folder" ]; then
        mkdir -p "$WORK/wheels"
        with_progress "fetching the Python packages that the application pins (about 60 MB)" "$WORK/wheels.log" fetch_wheels "$1" "$WORK/wheels"
        mv "$WORK/wheels" "$folder"
    fi
    mkdir -p "$1/opt/wheels"
    cp "$folder"/*.whl "$1/opt/wheels/"
}

build_python_image() {
    local root=$WORK/root-python
    say "  image: $PYTHON_REFERENCE"
    python_root "$root"
    wheels "$root"
    image python "$PYTHON_REFERENCE" "$root" \
        '{"Env":["PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin","LANG=C.UTF-8","PIP_NO_INDEX=1","PIP_FIND_LINKS=/opt/wheels"],"Cmd":["python3"]}' \
        "Debian python3.11 $(upstream_version python3.11) with pip, busybox as its shell, and the packages that the application pins"
}
