#!/bin/sh
# lvm2.sh [BACKEND [WAY]] - LVM's commands, unmodified, on two loop devices: each reads and writes labels and metadata
# by native AIO with O_DIRECT on block devices. Physical volumes, a volume group and logical volumes are made, extended,
# reduced, striped, renamed, restored from a backup and removed; after each step LVM without aiox has to read the same.
#
# Nothing but the two devices is looked at, nothing outside of the scratch folder is written, and volumes are not
# activated, so the kernel need not have device-mapper.
. "$(dirname "$0")/common.sh"
need_program lvm lvm2
need_program losetup mount
[ "$(id -u)" -eq 0 ] || skip "loop devices want root"
cd "$work"

truncate -s 200M first second
make_loop first
first=$loop
make_loop second
second=$loop
mkdir lvm
cat >lvm/lvm.conf <<END
devices {
  dir = "/dev"
  scan = [ "/dev" ]
  use_devicesfile = 0
  filter = [ "a|^$first\$|", "a|^$second\$|", "r|.*|" ]
  global_filter = [ "a|^$first\$|", "a|^$second\$|", "r|.*|" ]
  obtain_device_list_from_udev = 0
  external_device_info_source = "none"
  hints = "none"
}
activation {
  udev_sync = 0
  udev_rules = 0
  monitoring = 0
}
backup {
  backup_dir = "$work/lvm/backup"
  archive_dir = "$work/lvm/archive"
}
global {
  locking_dir = "$work/lvm/lock"
  system_id_source = "none"
  use_lvmpolld = 0
  use_lvmlockd = 0
  event_activation = 0
}
END
export LVM_SYSTEM_DIR="$work/lvm"
export LVM_SUPPRESS_FD_WARNINGS=1
group=aiox_$$

# lvm_step command...
lvm_step() {
  under_aiox "$@" || fail_with_output "$*: status $status"
  answered_by_aiox 1 1
  if grep -a -v '^aiox:' err | grep -i 'async\|checksum\|corrupt\|I/O error\|inconsistent'; then
    fail_with_output "$*"
  fi
}

# Without aiox: what there is, one line per segment. The devices' names differ from run to run.
layout() {
  vgck --driverloaded n "$group" >layout.err 2>&1 || { cat layout.err; fail "vgck after $1"; }
  lvs --driverloaded n --noheadings --units m --separator ' ' -o lv_name,seg_size,segtype,stripes,devices "$group" \
    2>layout.err | sed "s|$first(|first(|g; s|$second(|second(|g; s/^ *//; s/ *$//" | LC_ALL=C sort
}

# expect WHAT: what layout prints is what comes on standard input.
expect() {
  cat >expected
  layout "$1" >found
  diff -u expected found || fail "$1"
  echo "ok: $1"
}

lvm_step pvcreate -y "$first" "$second"
[ "$(pvs --noheadings -o pv_name 2>pvs.err | wc -l)" -eq 2 ] || { cat pvs.err; fail "pvcreate"; }
echo "ok: pvcreate"
lvm_step vgcreate "$group" "$first"
expect vgcreate <<END
END

lvm_step lvcreate --driverloaded n -y -an -Zn -Wn -L 20M -n one "$group"
lvm_step lvcreate --driverloaded n -y -an -Zn -Wn -l 5 -n two "$group"
expect lvcreate <<END
one 20.00m linear 1 first(0)
two 20.00m linear 1 first(5)
END

lvm_step lvextend --driverloaded n -L +12M "$group/one"
expect lvextend <<END
one 12.00m linear 1 first(10)
one 20.00m linear 1 first(0)
two 20.00m linear 1 first(5)
END

lvm_step lvreduce --driverloaded n -f -y -L 16M "$group/one"
expect lvreduce <<END
one 16.00m linear 1 first(0)
two 20.00m linear 1 first(5)
END

lvm_step vgextend "$group" "$second"
lvm_step lvcreate --driverloaded n -y -an -Zn -Wn -i 2 -I 64k -L 80M -n striped "$group"
lvm_step lvrename --driverloaded n "$group/one" "$group/three"
expect "vgextend, stripes and lvrename" <<END
striped 80.00m striped 2 first(10),second(0)
three 16.00m linear 1 first(0)
two 20.00m linear 1 first(5)
END

lvm_step vgcfgbackup -f "$work/saved" "$group"
lvm_step lvremove --driverloaded n -f -y "$group/two"
lvm_step lvchange --driverloaded n --addtag tagged "$group/three"
expect lvremove <<END
striped 80.00m striped 2 first(10),second(0)
three 16.00m linear 1 first(0)
END
lvm_step vgcfgrestore --driverloaded n -f "$work/saved" "$group"
expect vgcfgrestore <<END
striped 80.00m striped 2 first(10),second(0)
three 16.00m linear 1 first(0)
two 20.00m linear 1 first(5)
END

# Metadata is kept in a ring of about a megabyte on each device: often enough to go round it would take minutes.
for number in 1 2 3 4 5 6 7 8 9 10; do
  lvm_step lvcreate --driverloaded n -y -an -Zn -Wn -l 1 -n "many$number" "$group"
done
[ "$(layout "ten more volumes" | grep -c '^many')" -eq 10 ] || fail "ten more volumes"
for command in lvs pvs vgs; do
  lvm_step $command --driverloaded n --noheadings
  cp out read_by_aiox
  $command --driverloaded n --noheadings >read_without 2>/dev/null
  cmp read_by_aiox read_without || fail "$command reads something else under aiox"
done
lvm_step pvck --driverloaded n --dump metadata_area -f dumped "$second"
lvm_step pvck --driverloaded n --dump headers "$second"
lvm_step vgck --driverloaded n "$group"
echo "ok: ten more volumes, lvs, pvs, vgs, pvck, vgck"

lvm_step vgremove --driverloaded n -f "$group"
[ -z "$(vgs --noheadings 2>/dev/null)" ] || fail "vgremove"
lvm_step pvremove "$first" "$second"
[ -z "$(pvs --noheadings 2>/dev/null)" ] || fail "pvremove"
echo "ok: vgremove, pvremove"
