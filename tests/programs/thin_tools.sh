#!/bin/sh
# thin_tools.sh [BACKEND [WAY]] - thin-provisioning-tools, unmodified: they read and write metadata in blocks of 4096
# bytes by native AIO with O_DIRECT, many at a time into a context of several thousand events, and wait without a limit.
# What they restore, repair and dump has to be what they do without aiox, byte for byte.
. "$(dirname "$0")/common.sh"
need_program thin_check thin-provisioning-tools
need_program awk mawk
direct_works || skip "$work does not support O_DIRECT"
cd "$work"

# Mappings without any order in them, so that each takes an entry of its own.
awk 'BEGIN {
  print "<superblock uuid=\"\" time=\"3\" transaction=\"5\" version=\"2\" data_block_size=\"128\" " \
    "nr_data_blocks=\"200000\">"
  for (device = 1; device <= 4; ++device) {
    printf "  <device dev_id=\"%d\" mapped_blocks=\"10000\" transaction=\"0\" creation_time=\"0\" snap_time=\"1\">\n", \
      device
    for (i = 0; i < 10000; ++i)
      printf "    <single_mapping origin_block=\"%d\" data_block=\"%d\" time=\"1\"/>\n", i * 3, \
        (device - 1) * 40000 + (i * 7919) % 40000
    print "  </device>"
  }
  print "</superblock>" }' >thin.xml
awk 'BEGIN {
  print "<superblock uuid=\"\" block_size=\"128\" nr_cache_blocks=\"20000\" policy=\"smq\" hint_width=\"4\">"
  print "  <mappings>"
  for (i = 0; i < 20000; ++i)
    printf "    <mapping cache_block=\"%d\" origin_block=\"%d\" dirty=\"%s\"/>\n", i, (i * 7919) % 90000, \
      i % 3 ? "true" : "false"
  print "  </mappings>"
  print "  <hints>"
  for (i = 0; i < 20000; ++i) printf "    <hint cache_block=\"%d\" data=\"AAAAAA==\"/>\n", i
  print "  </hints>"
  print "</superblock>" }' >cache.xml
awk 'BEGIN {
  print "<superblock uuid=\"\" block_size=\"128\" nr_blocks=\"20000\" current_era=\"1001\">"
  print "  <writeset era=\"1000\" nr_bits=\"20000\">"
  for (i = 0; i < 20000; ++i) printf "    <bit block=\"%d\" value=\"%s\"/>\n", i, i % 5 ? "false" : "true"
  print "  </writeset>"
  print "  <era_array>"
  for (i = 0; i < 20000; ++i) printf "    <era block=\"%d\" era=\"%d\"/>\n", i, (i * 7919) % 999
  print "  </era_array>"
  print "</superblock>" }' >era.xml

tool() {
  under_aiox "$@" || fail_with_output "$*: status $status"
  answered_by_aiox 1 1
}

# same WHAT command...: prints the same under aiox as without.
same() {
  what=$1
  shift
  "$@" >expected 2>expected.err || fail "$*: status $? without aiox: $(cat expected.err)"
  tool "$@"
  cmp out expected || fail "$* prints something else under aiox"
  echo "ok: $what"
}

for kind in thin cache era; do
  truncate -s 16M $kind.there $kind.expected
  ${kind}_restore -q -i $kind.xml -o $kind.expected >err 2>&1 || fail "${kind}_restore without aiox: $(cat err)"
  tool ${kind}_restore -q -i $kind.xml -o $kind.there
  cmp $kind.there $kind.expected || fail "${kind}_restore makes something else under aiox"
  tool ${kind}_check $kind.there
  echo "ok: ${kind}_restore, ${kind}_check"
  same ${kind}_dump ${kind}_dump $kind.there
  cmp $kind.there $kind.expected || fail "${kind}_check or ${kind}_dump has changed the metadata"
done
truncate -s 16M repaired repaired.expected
thin_repair -i thin.there -o repaired.expected >err 2>&1 || fail "thin_repair without aiox: $(cat err)"
tool thin_repair -i thin.there -o repaired
cmp repaired repaired.expected || fail "thin_repair makes something else under aiox"
echo "ok: thin_repair"
same thin_ls thin_ls --no-headers thin.there
same thin_delta thin_delta --snap1 1 --snap2 2 thin.there
same thin_rmap thin_rmap --region 100..5000 thin.there

# A damaged block has to be found.
dd if=/dev/zero of=thin.there bs=4096 seek=40 count=8 conv=notrunc 2>/dev/null
if under_aiox thin_check thin.there; then fail_with_output "thin_check has not seen the damage"; fi
answered_by_aiox 1 1
echo "ok: thin_check sees damage"
