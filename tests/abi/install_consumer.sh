#!/bin/sh
# install_consumer.sh BUILD-DIR - installs the build into a prefix, moves the prefix, and uses it there as others would:
# a C program through pkg-config, the same through find_package(aiox), the drop-in libaio.so.1, and the aiox command.
set -eu
build=$1
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: a sanitized library is not what gets installed"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

cmake --install "$build" --prefix "$work/first" >"$work/install.log" ||
  { cat "$work/install.log"; fail "cmake --install"; }
mv "$work/first" "$work/moved"
prefix=$work/moved
(cd "$prefix" && find . ! -type d | sort)

pc=$(find "$prefix" -name aiox.pc)
lib=$(dirname "$(dirname "$pc")")
for file in "$lib/libaiox.so" "$lib/libaiox.so.1" "$lib/libaiox-preload.so" "$prefix/include/aiox/aiox.h" \
  "$lib/aiox/libaio.so.1" "$lib/aiox/libaio.so.1t64"; do
  [ -e "$file" ] || fail "$file is not installed"
done

echo "-- manual pages"
for page in man1/aiox.1 man1/aiox-doctor.1 man3/aiox_get_lane.3 man3/aiox_version.3 man7/aiox.7; do
  [ -e "$prefix/share/man/$page" ] || fail "$page is not installed"
done
# As a user finds them; not all machines have man.
if command -v man >/dev/null; then
  for name in 'aiox-doctor' '3 aiox_get_config' '7 aiox'; do
    # shellcheck disable=SC2086  # a section and a name
    MANPATH=$prefix/share/man man -P cat $name 2>&1 | grep -q 'SEE ALSO' || fail "man $name finds no page"
  done
fi

echo "-- pkg-config"
export PKG_CONFIG_PATH="${pc%/*}"
unset PKG_CONFIG_SYSROOT_DIR || true
# shellcheck disable=SC2046  # the flags are words
cc -Wall -Wextra -Werror -o "$work/by-pkg-config" "$here/consumer/consumer.c" $(pkg-config --cflags --libs aiox)
LD_LIBRARY_PATH=$lib "$work/by-pkg-config" || fail "the program built through pkg-config"

echo "-- find_package"
cmake -G Ninja -S "$here/consumer" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log" 2>&1 ||
  { cat "$work/configure.log"; fail "find_package(aiox)"; }
cmake --build "$work/by-cmake" >"$work/build.log" 2>&1 || { cat "$work/build.log"; fail "building with aiox::aiox"; }
"$work/by-cmake/consumer" || fail "the program built through find_package"

echo "-- the drop-in libaio.so.1"
[ ! -e "$lib/libaio.so.1" ] || fail "a libaio.so.1 is where it could be taken for the distribution's"
folder=$(pkg-config --variable=libaiodir aiox)
[ "$(readelf -dW "$folder/libaio.so.1" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')" = libaio.so.1 ] || fail "its SONAME"
cc -D_GNU_SOURCE -DWORK_IS_LINKED -fPIC -o "$work/native" "$here/native_main.c" "$here/native_work.c" \
  -L"$folder" -l:libaio.so.1 -ldl
out=$(cd "$work" && LD_LIBRARY_PATH=$folder ./native) || fail "a program bound to libaio: $out"
case $out in
"answered by "*"/aiox/libaio.so.1") echo "$out" ;;
*) fail "a program bound to libaio says: $out" ;;
esac

if [ -x "$prefix/bin/aiox" ]; then
  echo "-- the command"
  "$prefix/bin/aiox" --version
  "$prefix/bin/aiox" doctor | grep "^preload .*$lib/libaiox-preload\.so (aiox " ||
    fail "aiox doctor does not find the library of its prefix"
  [ -e "$prefix/share/zsh/site-functions/_aiox" ] || fail "no completion for zsh"
  # Where bash-completion looks for it, by the command's name; it works without bash-completion.
  # shellcheck disable=SC2016  # expanded by the other shell
  bash -c '. "$1/share/bash-completion/completions/aiox" && complete -p aiox &&
    COMP_LINE="$1/bin/aiox doc" COMP_WORDS=("$1/bin/aiox" doc) \
    COMP_CWORD=1 && _aiox && [ "${COMPREPLY[*]}" = doctor ]' - "$prefix" || fail "completion for bash"
  # It finds the preload library of its own prefix.
  "$prefix/bin/aiox" run -- sh -c "printf '%s\n' \"\$LD_PRELOAD\"" | grep -qxF "$lib/libaiox-preload.so" ||
    fail "aiox run does not preload the library of its prefix"
fi
