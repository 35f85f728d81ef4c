#!/bin/sh
# build_nginx.sh [FOLDER] - an nginx that can do what nginx_aio.sh tests: Debian's is built without file AIO. Fetches
# Debian's source of it, unpatched, and builds FOLDER/nginx (default: build/nginx of this tree, where nginx_aio.sh
# looks); half a minute. To be run by hand; wants a network, a compiler and make, and changes nothing outside of FOLDER.
set -eu
folder=${1:-$(dirname "$0")/../../build/nginx}
mkdir -p "$folder/lists/partial"
cd "$folder"
folder=$PWD

# Sources are not listed everywhere: a list of its own.
. /etc/os-release
echo "deb-src http://deb.debian.org/debian ${VERSION_CODENAME:-bookworm} main" >sources.list
apt() {
  apt-get -q -o APT::Sandbox::User=root -o Dir::Etc::sourcelist="$folder/sources.list" \
    -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$folder/lists" "$@"
}
apt update
apt source --download-only nginx
rm -rf source
mkdir source
tar -xf nginx_*.orig.tar.* -C source --strip-components=1
cd source
# Without the modules that want further libraries.
./configure --with-file-aio --without-http_rewrite_module --without-http_gzip_module
make -j "$(nproc)"
cp objs/nginx "$folder/nginx"
"$folder/nginx" -V 2>&1 | grep -q -e --with-file-aio
echo "$folder/nginx"
