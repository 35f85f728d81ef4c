#!/bin/sh
# program.sh AIOX - aiox doctor --program: which AIO calls a program makes and how, and why aiox does not reach some. No
# program is run: each of these would leave a mark.
set -u
aiox=$1
# shellcheck source=tests/cli/expect.sh
. "$(dirname "$0")/../expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# build NAME SOURCE-TEXT [CC-OPTION...]
build() {
  name=$1
  printf '%s\n' '#include <stdio.h>' '#include <aio.h>' '#include <unistd.h>' '#include <sys/syscall.h>' \
    'static void mark(void) { fclose(fopen("ran", "w")); }' "$2" >"$name.c"
  shift 2
  cc -D_GNU_SOURCE -w -o "$name" "$name.c" "$@" 2>"$name.log"
}

build posix 'int main(void) { struct aiocb b = {0}; mark(); return aio_read(&b) + aio_error(&b); }' ||
  { cat posix.log; exit 1; }
expect 0 '^posix +aio_error, aio_read @GLIBC_[0-9.]+ from (libc\.so\.6|librt\.so\.1)' "$aiox" doctor --program ./posix
also '^preload +yes' '^aiox answers these calls: aiox run -- \./posix$'
expect 0 '"name": "aio_read"' "$aiox" doctor --json --program ./posix
also '"interface": "posix"' '"works": true' '"preload_reaches_it": true'

# By the names of libaio, from a stand-in that is never run; its own path is found by DT_RUNPATH and by DT_RPATH.
mkdir lib
printf '%s\n' 'int io_submit(void) { return 0; }' 'int io_setup(void) { return 0; }' >libaio.c
printf '%s\n' 'LIBAIO_0.1 { global: io_submit; local: *; };' 'LIBAIO_0.4 { global: io_setup; } LIBAIO_0.1;' >libaio.map
cc -shared -fPIC -Wl,-soname,libaio.so.1 -Wl,--version-script=libaio.map -o lib/libaio.so.1 libaio.c
printf '%s\n' 'int io_submit(void); int library(void) { return io_submit(); }' >user.c
cc -shared -fPIC -o lib/libuser.so user.c -Llib -l:libaio.so.1 -Wl,-rpath,"\$ORIGIN"
for dtags in --enable-new-dtags --disable-new-dtags; do
  build native 'int io_setup(void); int io_submit(void); int main(void) { mark(); return io_setup() + io_submit(); }' \
    -Llib -l:libaio.so.1 -Wl,$dtags -Wl,-rpath,"\$ORIGIN/lib"
  expect 0 '^libaio +io_submit @LIBAIO_0.1 from libaio.so.1; io_setup @LIBAIO_0.4 from libaio.so.1' "$aiox" doctor \
    --program ./native
  also "libaio.so.1 is .*/lib/libaio.so.1"
done
# Through a library that it needs.
build through 'int library(void); int main(void) { mark(); return library(); }' -Llib -luser -Wl,-rpath,"\$ORIGIN/lib"
expect 0 '^libaio +by .*/lib/libuser\.so: io_submit @LIBAIO_0.1 from libaio.so.1' "$aiox" doctor --program ./through
# There a drop-in would come behind libc, whose close is then the program's.
also '^drop-in +no +closes unseen: .*/lib/libuser\.so needs libaio'
expect 0 '"drop_in_sees_closes": false' "$aiox" doctor --json --program ./through
build before 'int io_setup(void); int main(void) { mark(); return io_setup(); }' -Llib -l:libaio.so.1 \
  -Wl,--enable-new-dtags -Wl,-rpath,"\$ORIGIN/lib"
expect 0 '^drop-in +yes LD_LIBRARY_PATH=' "$aiox" doctor --program ./before
expect 0 '"drop_in_sees_closes": true' "$aiox" doctor --json --program ./before
# A library that is not there.
mv lib/libuser.so lib/libgone.so
expect 1 '^It does not start: the loader does not find libuser\.so, which \./through needs\.' "$aiox" doctor \
  --program ./through

# One that can use io_uring by itself, where aiox has nothing to answer: which setting decides is said, and one that
# does so unless told is not said to work. By its own imports, and by those of a library.
printf '%s\n' 'int io_uring_queue_init(void) { return 0; }' >uring.c
cc -shared -fPIC -Wl,-soname,liburing.so.2 -o lib/liburing.so.2 uring.c
both='int io_submit(void); int io_uring_queue_init(void);
int main(void) { mark(); return io_submit() + io_uring_queue_init(); }'
for name in mariadbd qemu-nbd other; do
  build $name "$both" -Llib -l:libaio.so.1 -l:liburing.so.2 -Wl,-rpath,"\$ORIGIN/lib"
done
expect 1 'uses that, which passes aiox by\. innodb_linux_aio=aio has InnoDB' "$aiox" doctor --program ./mariadbd
also '^io_uring +used by \./mariadbd, past aiox'
expect 1 '"uring_setting": "innodb_linux_aio=aio ' "$aiox" doctor --json --program ./mariadbd
expect 0 '^aiox answers these calls: .*aio=native' "$aiox" doctor --program ./qemu-nbd
expect 0 '^aiox answers these calls: .* What \./other does by io_uring passes aiox by' "$aiox" doctor --program ./other
printf '%s\n' 'int io_uring_queue_init(void); int library(void) { return io_uring_queue_init(); }' >rocks.c
cc -shared -fPIC -Wl,-soname,librocksdb.so.9 -o lib/librocksdb.so.9 rocks.c -Llib -l:liburing.so.2 -Wl,-rpath,"\$ORIGIN"
build server 'int library(void); int main(void) { mark(); return library(); }' \
  -Llib -l:librocksdb.so.9 -Wl,-rpath,"\$ORIGIN/lib"
expect 1 'nothing to answer\..* RocksDB uses io_uring' "$aiox" doctor --program ./server
# MariaDB's without io_uring, as it was before: nothing to be said of it.
build mariadbd 'int io_submit(void); int main(void) { mark(); return io_submit(); }' \
  -Llib -l:libaio.so.1 -Wl,-rpath,"\$ORIGIN/lib"
expect 0 '^aiox answers these calls: aiox run -- \./mariadbd$' "$aiox" doctor --program ./mariadbd

build number 'int main(void) { mark(); return syscall(SYS_io_submit, 0, 0, 0); }'
expect 0 'may make native AIO calls by number' "$aiox" doctor --program ./number
also '^syscall +syscall @GLIBC'
build none 'int main(void) { mark(); return 0; }'
expect 1 '^It names no AIO call, so aiox has nothing to answer\.$' "$aiox" doctor --program ./none
expect 1 '"certainly_without_aio": true' "$aiox" doctor --json --program ./none
build starts 'int main(void) { mark(); return system("true"); }'
expect 1 'What it starts may: aiox run --verbose tells\.$' "$aiox" doctor --program ./starts
expect 1 '"certainly_without_aio": false' "$aiox" doctor --json --program ./starts
# Stripped of all that the loader does not need.
cp posix stripped
strip --strip-section-headers stripped 2>/dev/null || strip stripped
expect 0 '^posix +aio_error, aio_read' "$aiox" doctor --program ./stripped
build inside 'int io_submit(void) { return 0; } int main(void) { mark(); return io_submit(); }'
expect 1 'libaio is linked in statically \(io_submit\)' "$aiox" doctor --program ./inside

# Out of reach.
if build static 'int main(void) { mark(); return 0; }' -static; then
  expect 1 'is statically linked\. A dynamically linked build of it would be reached' "$aiox" doctor --program ./static
  also '^preload +no '
  printf '#! ./static\n' >script
  expect 1 '^script +run by \./static' "$aiox" doctor --program ./script
  also 'is statically linked'
  if [ "$(id -u)" -eq 0 ] && as_nobody true 2>/dev/null; then
    cp posix setuid && chmod 4755 setuid && chmod 755 .
    expect 1 'is setuid\. Started by its owner' as_nobody "$aiox" doctor --program "$work/setuid"
  fi
fi
if build narrow 'int main(void) { mark(); return 0; }' -m32; then
  expect 1 'is a (32-bit program|program for another kind of processor)' "$aiox" doctor --program ./narrow
fi
# Another machine's: the same file with another number in its header (e_machine: AArch64).
{ head -c 18 posix; printf '\267\000'; tail -c +21 posix; } >foreign
expect 1 'is a program for another kind of processor \(AArch64\)' "$aiox" doctor --program ./foreign
# A loader of musl's.
sed 's|/lib64/ld-linux-x86-64\.so\.2|/lib64/ld-musl-x86-64.so.1\x00|' posix >musl
if [ "$(uname -m)" = x86_64 ]; then expect 1 'uses musl, not glibc' "$aiox" doctor --program ./musl; fi

printf '#!/usr/bin/env ./posix\n' >through-env
expect 0 '^script +run by \./posix' "$aiox" doctor --program ./through-env
echo text >text
expect 1 'is neither an ELF file nor a script' "$aiox" doctor --program ./text
: >empty
expect 1 'is neither an ELF file' "$aiox" doctor --program ./empty
expect 1 'No such file' "$aiox" doctor --program ./nothing
expect 1 'is a directory' "$aiox" doctor --program ./lib
expect 1 'not found in PATH' "$aiox" doctor --program no-such-program-anywhere
# A broken file is one that says nothing, never a crash: cut short anywhere, and bytes turned over anywhere in its
# front.
bytes=$(wc -c <posix)
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  head -c $((bytes * i / 13)) posix >broken
  timeout 10 "$aiox" doctor --program ./broken >/dev/null 2>&1
  [ $? -le 1 ] || { echo "FAILED: cut at $((bytes * i / 13))"; failures=$((failures + 1)); }
  { head -c $((i * 60)) posix; printf '\377\377\377\377\377\377\377\377'; tail -c +$((i * 60 + 9)) posix; } >broken
  timeout 10 "$aiox" doctor --program ./broken >/dev/null 2>&1
  [ $? -le 1 ] || { echo "FAILED: broken at $((i * 60))"; failures=$((failures + 1)); }
done
[ ! -e ran ] || { echo "FAILED: a program was run"; failures=$((failures + 1)); }
[ "$failures" -eq 0 ]
