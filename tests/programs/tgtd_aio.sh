#!/bin/sh
# tgtd_aio.sh [BACKEND [WAY]] - tgtd, the iSCSI target daemon, unmodified, with its native AIO backing store: O_DIRECT,
# an eventfd in epoll, and one control block that it submits again and again while its earlier requests are still under
# way. QEMU's initiator writes and reads through it over TCP loopback; what arrives in the files is compared.
. "$(dirname "$0")/common.sh"
need_program tgtd tgt
need_program tgtadm tgt
need_program qemu-io qemu-utils
[ "$(id -u)" -eq 0 ] || skip "tgtd wants root"
direct_works || skip "$work does not support O_DIRECT"
cd "$work"

# Next to the files, not in /run; relative, since a socket's path is short.
export TGT_IPC_SOCKET=./control
truncate -s 32M one two
target=iqn.2001-04.com.example:aiox

administer() {
  tgtadm -C 0 --lld iscsi "$@" >tgtadm.out 2>&1 || { cat tgtadm.out; fail_with_output "tgtadm $*"; }
}

try=0
while :; do
  try=$((try + 1))
  port=$((20000 + ($$ * 7 + try * 1009) % 12000))
  start_under_aiox tgtd -f --iscsi portal=127.0.0.1:$port -C 0
  tick=0
  while kill -0 "$child" 2>/dev/null && ! tgtadm -C 0 --op show --mode target >tgtadm.out 2>&1; do
    tick=$((tick + 1))
    [ $tick -lt 200 ] || fail_with_output "tgtd does not answer: $(cat tgtadm.out)"
    sleep 0.05
  done
  if kill -0 "$child" 2>/dev/null; then break; fi
  finish_under_aiox || true
  [ $try -lt 5 ] || fail_with_output "tgtd has not started: status $status"
done
administer --op new --mode target --tid 1 -T $target
administer --op new --mode logicalunit --tid 1 --lun 1 -b "$work/one" --bstype aio
administer --op new --mode logicalunit --tid 1 --lun 2 -b "$work/two" --bstype aio
administer --op bind --mode target --tid 1 -I ALL
one=iscsi://127.0.0.1:$port/$target/1
two=iscsi://127.0.0.1:$port/$target/2
if ! timeout 30 qemu-img info "$one" >reached 2>&1; then
  if grep -q 'Unknown protocol\|iscsi.* module' reached; then skip \
    "QEMU has no iSCSI (apt-get install qemu-block-extra)"; fi
  cat reached
  fail_with_output "the target cannot be reached"
fi

# client command...
client() {
  timeout 60 "$@" >client.out 2>&1 || { cat client.out; fail_with_output "$*"; }
  if grep 'failed' client.out; then fail_with_output "$*"; fi
}

client qemu-io -f raw -c 'write -P 0x41 0 1M' -c 'aio_write -P 0x42 1M 1M' -c 'aio_write -P 0x43 2M 64k' \
  -c 'aio_write -P 0x44 2112k 512' -c 'aio_write -P 0x45 3M 4M' -c aio_flush -c flush -c 'read -P 0x41 0 1M' \
  -c 'aio_read -P 0x42 1M 1M' -c 'aio_read -P 0x43 2M 64k' -c 'aio_read -P 0x44 2112k 512' -c aio_flush \
  -c 'read -P 0x45 3M 4M' "$one"
qemu-io -f raw -c 'read -P 0x41 0 1M' -c 'read -P 0x42 1M 1M' -c 'read -P 0x43 2M 64k' -c 'read -P 0x44 2112k 512' \
  -c 'read -P 0x45 3M 4M' one >client.out 2>&1
if grep 'failed' client.out; then fail "what arrived in the file"; fi
echo "ok: patterns"

dd if=/dev/urandom of=source bs=1M count=32 2>/dev/null
client qemu-img convert -n -f raw -O raw -m 16 -W source "$two"
cmp source two || fail "what was copied to the target"
client qemu-img convert -f raw -O raw -m 16 -W "$two" back
cmp source back || fail "what was copied from the target"
client qemu-img convert -n -f raw -O raw -m 16 -W "$two" "$one"
cmp two one || fail "what was copied from one unit to the other"
echo "ok: copies to, from and within the target, 16 at a time"

for depth in 1 64; do
  client qemu-img bench -f raw -t none -c 1000 -d $depth -s 4096 "$one"
  cmp two one || fail "reads have changed the file"
  client qemu-img bench -f raw -t none -w --pattern=66 -c 1000 -d $depth -s 4096 "$one"
  head -c 4096000 /dev/zero | tr '\0' B | cmp -n 4096000 - one || fail "writes at depth $depth"
  cp source one
done
echo "ok: depths 1 and 64"

administer --op delete --force --mode target --tid 1
administer --op delete --mode system
finish_under_aiox || fail_with_output "tgtd: status $status"
if grep -a -i 'segfault\|abort\|assert' err; then fail_with_output "tgtd has complaints"; fi
answered_by_aiox 1 1
echo "ok: end"
