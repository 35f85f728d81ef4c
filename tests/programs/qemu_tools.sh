#!/bin/sh
# qemu_tools.sh [BACKEND [WAY]] - qemu-img, qemu-io and qemu-nbd, unmodified, with aio=native: they submit vectors with
# an eventfd each and take the events out of the completion ring by themselves, never by io_getevents. Benchmarks at
# depths 1 and 64; conversions raw to qcow2 and back; scripts of reads and writes that verify patterns; a server with
# several clients. Contents are compared.
. "$(dirname "$0")/common.sh"
need_program qemu-img qemu-utils
need_program qemu-io qemu-utils
need_program qemu-nbd qemu-utils
# QEMU has aio=native only with cache.direct=on.
direct_works || skip "$work does not support O_DIRECT"
cd "$work"

# native FORMAT FILE: the --image-opts of it.
native() {
  echo "driver=$1,file.driver=file,file.filename=$2,file.aio=native,file.cache.direct=on"
}

qemu() {
  under_aiox "$@" || fail_with_output "$*: status $status"
  answered_by_aiox 1 1
}

random_file() {
  dd if=/dev/urandom of="$1" bs=65536 count="$2" 2>/dev/null
}

# --- qemu-img bench: -n is aio=native

random_file bench.raw 256
cp bench.raw expected.raw
for depth in 1 64; do
  qemu qemu-img bench -f raw -n -t none -c 1000 -d $depth -s 4096 bench.raw
  cmp bench.raw expected.raw || fail "reads at depth $depth have changed the file"
  # Overlapping: each request begins in the middle of the one before.
  qemu qemu-img bench -f raw -n -t none -c 300 -d $depth -s 65536 -S 32768 bench.raw
  cmp bench.raw expected.raw || fail "reads at depth $depth have changed the file"
  echo "ok: bench, reads, depth $depth"
  # 1000 requests of 4096 bytes from the first one on, and what comes behind them.
  qemu qemu-img bench -f raw -n -t none -w --pattern=$((depth + 7)) -c 1000 -d $depth -s 4096 bench.raw
  head -c 4096000 /dev/zero | tr '\0' "\\$(printf %03o $((depth + 7)))" >pattern
  dd if=pattern of=expected.raw conv=notrunc 2>/dev/null
  cmp bench.raw expected.raw || fail "writes at depth $depth"
  echo "ok: bench, writes, depth $depth"
  qemu qemu-img bench -f raw -n -t none -w --pattern=$((depth + 9)) -c 256 -d $depth -s 16384 \
    --flush-interval=64 bench.raw
  head -c 4194304 /dev/zero | tr '\0' "\\$(printf %03o $((depth + 9)))" >pattern
  dd if=pattern of=expected.raw conv=notrunc 2>/dev/null
  cmp bench.raw expected.raw || fail "writes with flushes at depth $depth"
  qemu qemu-img bench -f raw -n -t none -w --pattern=$((depth + 9)) -c 256 -d $depth -s 16384 \
    --flush-interval=64 --no-drain bench.raw
  cmp bench.raw expected.raw || fail "writes with flushes between at depth $depth"
  echo "ok: bench, writes and flushes, depth $depth"
done
qemu-img create -q -f qcow2 bench.qcow2 16M
qemu qemu-img bench -f qcow2 -n -t none -w --pattern=77 -c 1000 -d 64 -s 4096 bench.qcow2
qemu-img convert -O raw bench.qcow2 bench.out
head -c 4096000 /dev/zero | tr '\0' M >pattern
cmp -n 4096000 bench.out pattern || fail "writes into qcow2"
qemu-img check -q bench.qcow2 || fail "bench.qcow2 is damaged"
echo "ok: bench, qcow2"

# --- qemu-img convert: eight requests at a time, written out of order; a hole, a tail that is no whole cluster

random_file source.raw 320
truncate -s 28M source.raw
random_file tail 3
cat tail >>source.raw
printf 'seven..' >>source.raw
# O_DIRECT may ask for as much.
truncate -s %4096 source.raw
size=$(stat -c %s source.raw)
qemu-img create -q -f qcow2 there.qcow2 "$size"
truncate -s "$size" back.raw
qemu qemu-img convert -n -m 8 -W --image-opts --target-image-opts "$(native raw source.raw)" \
  "$(native qcow2 there.qcow2)"
qemu-img check -q there.qcow2 || fail "there.qcow2 is damaged"
qemu qemu-img convert -n -m 8 -W --image-opts --target-image-opts "$(native qcow2 there.qcow2)" "$(native raw back.raw)"
cmp source.raw back.raw || fail "raw to qcow2 and back"
echo "ok: convert raw to qcow2 and back, 8 at a time, out of order"
truncate -s 0 back.raw
truncate -s "$size" back.raw
qemu qemu-img convert -n -m 1 -S 0 --image-opts --target-image-opts "$(native raw source.raw)" "$(native raw back.raw)"
cmp source.raw back.raw || fail "raw to raw"
echo "ok: convert raw to raw, one at a time, holes written"
qemu qemu-img compare --image-opts "$(native raw source.raw)" "$(native qcow2 there.qcow2)"
echo "ok: compare raw and qcow2"

# --- qemu-io: a script, then what it has left read back by another process without aiox

cat >script <<'END'
aio_write -P 0x11 0 64k
aio_write -P 0x22 64k 64k
aio_write -P 0x33 1M 512k
aio_flush
aio_write -z 128k 64k
aio_flush
flush
aio_read -P 0x11 0 64k
aio_read -P 0x22 64k 64k
aio_read -P 0x33 1M 512k
aio_flush
read -P 0 128k 64k
readv -P 0x22 64k 4k 8k
writev -P 0x44 3M 512 1024 512
read -P 0x44 3M 2k
write -P 0x55 2097665 777
read -P 0x55 2097665 777
write -f -P 0x66 4M 1M
read -P 0x66 4M 1M
aio_write -P 0x77 6M 1M
aio_write -P 0x78 7M 64k
aio_write -P 0x79 7232k 4k
aio_write -P 0x7a 7236k 4k
aio_flush
readv -P 0x77 6M 4k 64k 512 1536
aio_read -P 0x7a 7236k 512
aio_flush
quit
END
cat >check <<'END'
read -P 0x11 0 64k
read -P 0x22 64k 64k
read -P 0 128k 64k
read -P 0x33 1M 512k
read -P 0x55 2097665 777
read -P 0x44 3M 2k
read -P 0x66 4M 1M
read -P 0x77 6M 1M
read -P 0x78 7M 64k
read -P 0x79 7232k 4k
read -P 0x7a 7236k 4k
quit
END
for format in raw qcow2; do
  qemu-img create -q -f $format io.$format 8M
  input=script
  under_aiox qemu-io -t none -i native -f $format io.$format || fail_with_output "qemu-io, $format: status $status"
  grep -q 'failed' out && fail_with_output "qemu-io, $format"
  requests=$(grep -c '^.*\(read\|wrote\) [0-9]*/[0-9]* bytes' out || true)
  [ "$requests" -eq 21 ] || fail_with_output "qemu-io, $format: $requests requests done, expected 21"
  answered_by_aiox 1 1
  # Every "X/Y bytes": all of them.
  sed -n 's/.*\(read\|wrote\) \([0-9]*\)\/\([0-9]*\) bytes.*/\2 \3/p' out | while read -r moved wanted; do
    [ "$moved" = "$wanted" ] || fail "qemu-io, $format: $moved bytes of $wanted"
  done
  qemu-io -f $format io.$format <check >out 2>err || fail_with_output "what qemu-io left in $format"
  grep -q 'failed' out && fail_with_output "what qemu-io left in $format"
  echo "ok: qemu-io, $format"
done
[ "$(qemu-img check io.qcow2 2>&1 | head -n 1)" = 'No errors were found on the image.' ] || fail "io.qcow2 is damaged"
qemu-img compare -q io.raw io.qcow2 || fail "the same script left different contents in raw and qcow2"
echo "ok: qemu-io left the same in raw and qcow2"

# --- qemu-nbd: one server, three clients without aiox at once, each with a third of the disk

random_file disk.expected 384
truncate -s 24M disk
start_under_aiox qemu-nbd -t -e 8 -k "$work/nbd" -f raw --aio=native --cache=none --pid-file="$work/pid" disk
url="nbd+unix:///?socket=$work/nbd"
tick=0
until [ -S nbd ] && qemu-img info "$url" >reached 2>&1; do
  kill -0 "$child" 2>/dev/null || fail_with_output "qemu-nbd has not started"
  tick=$((tick + 1))
  [ $tick -lt 200 ] || fail_with_output "qemu-nbd does not answer: $(cat reached)"
  sleep 0.05
done

# third NUMBER DIRECTION FILE
third() {
  part="driver=raw,offset=$(($1 * 8388608)),size=8388608"
  local="$part,file.driver=file,file.filename=$3"
  remote="$part,file.driver=nbd,file.server.type=unix,file.server.path=$work/nbd"
  if [ "$2" = write ]; then set -- "$local" "$remote"; else set -- "$remote" "$local"; fi
  timeout 60 qemu-img convert -n -m 16 -W --image-opts --target-image-opts "$1" "$2"
}
truncate -s 24M disk.back
for direction in write read; do
  file=disk.expected
  [ $direction = write ] || file=disk.back
  clients=
  for number in 0 1 2; do
    third $number $direction $file >client.$number 2>&1 &
    clients="$clients $!"
  done
  for client in $clients; do wait "$client" ||
    { cat client.*; fail_with_output "a client of qemu-nbd: status $?"; }; done
done
cmp disk.expected disk.back || fail "what has gone through qemu-nbd"
timeout 60 qemu-img bench -f raw -c 1000 -d 64 -s 4096 "$url" >client.0 2>&1 ||
  { cat client.0; fail "bench by qemu-nbd"; }
kill -TERM "$(cat pid)"
finish_under_aiox || fail_with_output "qemu-nbd: status $status"
cmp disk.expected disk || fail "what qemu-nbd has written"
answered_by_aiox 1 1
echo "ok: qemu-nbd, three clients"
