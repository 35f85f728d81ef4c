#!/bin/sh
# mariadbd_aio.sh [BACKEND] - MariaDB's server, unmodified, with innodb_linux_aio=aio: one thread waits in
# syscall(SYS_io_getevents) without a limit on a context that libaio's io_setup has made and that other threads submit
# to, and io_destroy has to wake it with EINVAL when the server ends. A buffer pool smaller than the tables; O_DIRECT
# and the page cache; two clients. The tables have to be what they are without aiox: after a clean end, and recovered
# after a kill.
#
# Not the drop-in way: a libaio.so.1 alone does not see the server's own system call.
. "$(dirname "$0")/common.sh"
need_program mariadbd mariadb-server-core
need_program mariadb mariadb-client-core
need_program innochecksum mariadb-server-core
mariadbd --no-defaults --verbose --help 2>/dev/null | grep -q -e --innodb-linux-aio ||
  skip "this MariaDB cannot be told to use libaio (innodb_linux_aio)"
cd "$work"

# server FLUSH-METHOD: its command line in $server. A socket's path is short: relative to the data.
server() {
  server="mariadbd --no-defaults --datadir=$work/data --socket=socket --pid-file=$work/pid --skip-networking
    --skip-grant-tables --innodb-linux-aio=aio --innodb-use-native-aio=1 --innodb-flush-method=$1
    --innodb-buffer-pool-size=16M --innodb-log-file-size=8M --innodb-read-io-threads=2 --innodb-write-io-threads=2
    --innodb-buffer-pool-dump-at-shutdown=0 --innodb-buffer-pool-load-at-startup=0 --performance-schema=0
    --max-connections=10"
  [ "$(id -u)" -ne 0 ] || server="$server --user=root"
}

client() {
  (cd data && mariadb --no-defaults --socket=socket --batch --skip-column-names "$@")
}

# wait_for_server PROCESS
wait_for_server() {
  tick=0
  until client -e 'select 1' >answer 2>&1; do
    kill -0 "$1" 2>/dev/null || { cat answer; fail_with_output "the server has not started"; }
    tick=$((tick + 1))
    [ $tick -lt 400 ] || { cat answer; fail_with_output "the server does not answer"; }
    sleep 0.05
  done
}

# Two of these are larger than the buffer pool.
fill() {
  client aiox -e "create table $1 (a int primary key auto_increment, b varchar(500), c int, key (c)) engine=innodb;
    insert into $1 (b, c) select repeat(md5(seq), 10), seq * 7919 mod 10007 from seq_1_to_15000;
    insert into $1 (b, c) select repeat(md5(seq + 7), 15), seq * 7919 mod 10007 from seq_1_to_15000;
    update $1 set c = c + 1 where a mod 3 = 0;
    delete from $1 where a mod 7 = 0;
    select count(*), sum(c), sum(length(b)) from $1;
    select sum(length(b)) from $1 force index (c) where c between 100 and 900" >"filled.$1" 2>&1
}

contents() {
  client aiox -e 'checksum table one extended; checksum table two extended'
}

# complaints FILE
complaints() {
  if grep -a 'ERROR\|corrupt\|Assertion\|got signal\|returned OS error\|io_getevents\|Cannot initialize AIO' "$1"; then
    fail_with_output "the server has complaints"
  fi
}

# without_aiox WHAT: starts the server as it is, and compares what it finds with the file sums.
without_aiox() {
  # shellcheck disable=SC2086
  timeout -k 5 100 $server >out 2>err &
  child=$!
  wait_for_server "$child"
  contents >found 2>&1 || { cat found; fail_with_output "$1"; }
  diff -u sums found || fail "$1"
  kill -TERM "$(cat pid)"
  finish_under_aiox || fail_with_output "the server without aiox: status $status"
  complaints err
}

for method in O_DIRECT fsync; do
  if [ $method = O_DIRECT ] && ! direct_works; then
    left_out "O_DIRECT, which $work does not support"
    continue
  fi
  rm -rf data
  mkdir data
  server $method
  # shellcheck disable=SC2086
  start_under_aiox $server
  wait_for_server "$child"
  client -e 'create database aiox'
  fill one &
  other=$!
  fill two || { cat filled.two; fail_with_output "$method: the second client"; }
  wait $other || { cat filled.one; fail_with_output "$method: the first client"; }
  cmp filled.one filled.two || fail "$method: the same statements have given different tables"
  contents >sums 2>&1 || { cat sums; fail_with_output "$method: checksums"; }
  client aiox -e 'check table one; check table two' >checked 2>&1 || true
  [ "$(grep -c 'OK$' checked)" -eq 2 ] || { cat checked; fail_with_output "$method: CHECK TABLE"; }
  kill -TERM "$(cat pid)"
  finish_under_aiox || fail_with_output "$method: the server's end: status $status"
  complaints err
  answered_by_aiox 1 1
  for file in data/aiox/*.ibd; do innochecksum "$file" || fail "$method: a page of $file is damaged"; done
  without_aiox "$method: what is left after a clean end"
  echo "ok: $method"
done

# shellcheck disable=SC2086
start_under_aiox $server
wait_for_server "$child"
client aiox -e 'update one set c = c + 5 where a mod 100 = 0; delete from two where a mod 110 = 0'
contents >sums
client aiox -e 'begin; update one set c = 0 where a mod 100 = 1; select sleep(0.2)' >answer
kill -KILL "$(cat pid)"
finish_under_aiox || true
answered_by_aiox 1 1
without_aiox "what is recovered after a kill"
echo "ok: recovery"
