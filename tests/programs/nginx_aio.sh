#!/bin/sh
# nginx_aio.sh [BACKEND] - nginx, unmodified, serves files over TCP loopback with "aio on": reads by syscall(2), an
# eventfd in epoll that counts the events, io_getevents that does not wait. As one process, and as a master that forks
# workers and makes new ones on SIGHUP; O_DIRECT, which nginx turns on and off by fcntl between one read and the next of
# a file that several requests may share, and without. Whole files and ranges of many sizes to several clients at once,
# compared byte for byte.
. "$(dirname "$0")/common.sh"
need_program curl

# The first that can: AIOX_TEST_NGINX, what build_nginx.sh has made, the installed one.
nginx=
for candidate in "${AIOX_TEST_NGINX:-}" "${AIOX_TEST_SOURCE:-$(dirname "$0")/../..}/build/nginx/nginx" nginx; do
  if [ -n "$candidate" ] && "$candidate" -V 2>&1 | grep -q -e --with-file-aio; then
    nginx=$(command -v "$candidate")
    break
  fi
done
[ -n "$nginx" ] || skip "no nginx built with file AIO, which Debian's is not (tests/programs/build_nginx.sh makes one)"
case $nginx in
/*) ;;
*) nginx=$PWD/$nginx ;;
esac
cd "$work"

mkdir html temporary
sizes='0 1 511 4095 4096 4097 1048579 20971520'
for size in $sizes; do head -c "$size" /dev/urandom >"html/$size"; done
# SIZE:FIRST-LAST of ranges: inside and across blocks of 512 and 4096, at either end, larger than a buffer.
ranges='1:0-0 4095:4000- 4096:0-511 4096:4095-4095 4097:4096-4096 4097:-2 1048579:100-5000 1048579:512-131583
  1048579:4096-8191 1048579:1048570- 1048579:-7 20971520:1048575-3145729 20971520:20971519-'

# configure PROCESSES location-directive...: PROCESSES is single, or how many workers a master has.
configure() {
  processes=$1
  shift
  {
    [ "$(id -u)" -ne 0 ] || echo "user root;"
    if [ "$processes" = single ]; then
      echo "master_process off;"
    else
      echo "master_process on; worker_processes $processes;"
    fi
    # nginx empties its environment but for what it is told to keep, and does so before the engine reads it.
    cat <<END
env AIOX_BACKEND;
env AIOX_DIRECT;
env AIOX_VERBOSE;
daemon off;
pid $work/pid;
error_log stderr notice;
events { worker_connections 64; use epoll; }
http {
  access_log off;
  client_body_temp_path $work/temporary;
  server {
    listen 127.0.0.1:$port;
    root $work/html;
    location / { aio on; $* }
  }
}
END
  } >nginx.conf
}

# serve PROCESSES location-directive...: starts it and waits until it answers.
serve() {
  try=0
  while :; do
    try=$((try + 1))
    port=$((20000 + ($$ * 7 + try * 1009) % 12000))
    configure "$@"
    start_under_aiox "$nginx" -p "$work" -e stderr -c "$work/nginx.conf"
    tick=0
    while kill -0 "$child" 2>/dev/null; do
      # Another server's port is not ours: the process of the pid file is there as soon as it listens.
      if [ -s pid ] && curl -s -o /dev/null "http://127.0.0.1:$port/0"; then return 0; fi
      tick=$((tick + 1))
      [ $tick -lt 200 ] || fail_with_output "nginx does not answer"
      sleep 0.05
    done
    finish_under_aiox || true
    if [ $try -lt 5 ] && grep -q 'Address already in use' err; then continue; fi
    fail_with_output "nginx has not started: status $status"
  done
}

# client NUMBER: everything once; what differs into differs.NUMBER.
client() {
  mkdir "client.$1"
  set -- "$1" "http://127.0.0.1:$port"
  urls=
  for size in $sizes; do urls="$urls -o client.$1/$size $2/$size"; done
  # shellcheck disable=SC2086  # one connection for all of them
  curl -sS --fail --max-time 60 $urls || echo "curl: status $?"
  for size in $sizes; do cmp "html/$size" "client.$1/$size" || echo "all of $size"; done
  for range in $ranges; do
    size=${range%%:*}
    range=${range#*:}
    curl -sS --fail --max-time 60 -r "$range" -o "client.$1/part" "$2/$size" || echo "curl -r $range: status $?"
    from=${range%-*}
    to=${range#*-}
    if [ -z "$from" ]; then
      tail -c "$to" "html/$size" >"client.$1/expected"
    elif [ -z "$to" ]; then
      tail -c +$((from + 1)) "html/$size" >"client.$1/expected"
    else
      tail -c +$((from + 1)) "html/$size" | head -c $((to - from + 1)) >"client.$1/expected"
    fi
    cmp "client.$1/part" "client.$1/expected" || echo "range $range of $size"
  done
  rm -r "client.$1"
}

# ask_for_all WHAT: four clients at once.
ask_for_all() {
  clients=
  for number in 1 2 3 4; do
    client $number >"differs.$number" 2>&1 &
    clients="$clients $!"
  done
  # shellcheck disable=SC2086
  wait $clients || echo "a client: status $?" >differs.status
  if [ -n "$(cat differs.*)" ]; then
    cat differs.*
    fail_with_output "$1"
  fi
}

# leave LOW HIGH: ends it as an administrator would; so many processes used AIO.
leave() {
  kill -QUIT "$(cat pid)"
  finish_under_aiox || fail_with_output "nginx: status $status"
  if grep -a '\[alert\]\|\[crit\]\|\[error\]\|\[emerg\]\|exited on signal' err; then fail_with_output \
    "nginx has complaints"; fi
  answered_by_aiox "$1" "$2"
  rm -f pid
}

# run PROCESSES LOW HIGH location-directive...
run() {
  processes=$1
  low=$2
  high=$3
  shift 3
  serve "$processes" "$*"
  ask_for_all "$processes: $*"
  leave "$low" "$high"
  echo "ok: processes: $processes; aio on; $*"
}

run single 1 1 'sendfile off; output_buffers 2 128k;'
run 2 1 2 'sendfile off; output_buffers 1 32k;'
if direct_works; then
  run single 1 1 'sendfile off; directio 4k; output_buffers 2 128k;'
  run 2 1 2 'sendfile off; directio 4k; output_buffers 2 128k;'
  run 2 1 2 'sendfile on; directio 1m; output_buffers 1 512k;'
  run single 1 1 'sendfile off; directio 512; directio_alignment 4k; output_buffers 4 64k; open_file_cache max=100;'
else
  left_out "directio, which $work does not support"
fi

# New workers while the old ones end.
serve 1 'sendfile off; output_buffers 2 64k;'
ask_for_all "before SIGHUP"
for time in 1 2 3; do
  kill -HUP "$(cat pid)"
  ask_for_all "after SIGHUP $time"
done
leave 1 4
echo "ok: SIGHUP"
