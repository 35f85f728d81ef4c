#!/bin/sh
# machine.sh AIOX REFUSE - aiox doctor without an argument: each lane's state, and the true reason of one that does not
# work.
# shellcheck disable=SC2016  # $0 and $1 are those of inner shells
set -u
aiox=$1
refuse=$2
# shellcheck source=tests/cli/expect.sh
. "$(dirname "$0")/../expect.sh"

expect 0 '^Examples:' "$aiox" doctor --help
also '^Exit status: 0 when everything works' '^Usage: aiox doctor \[--json\] \[PATH \| --program FILE \| --pid N\]$'
expect 2 '--nonsense' "$aiox" doctor --nonsense
expect 2 'give one of PATH, --program FILE and --pid N' "$aiox" doctor --pid 1 /tmp
expect 2 'an empty name' "$aiox" doctor ''
expect 2 '"x" is not accepted; give the number of a process, from 1 on' "$aiox" doctor --pid x
expect 2 '"lanes" is no command' "$aiox" lanes

# Whether all works depends on the machine; what follows must hold on any.
"$aiox" doctor >/dev/null
works=$?
[ $works -le 1 ] || { echo "FAILED: exit status $works"; exit 1; }
expect $works '^threads +yes' "$aiox" doctor
also '^(All that aiox needs works here\.|Does not work here: )' '^kernel +native AIO: (yes|no)' \
  '^limits +locked memory ' \
  '^libaio +(/|none)' '^settings +AIOX_BACKEND=auto '
expect $works "\"works\": $([ $works -eq 0 ] && echo true || echo false)" "$aiox" doctor --json
also '"available": true' '"name": "direct"' '"direct": 1' '"aio_max_nr": ' '"seccomp": '
if command -v python3 >/dev/null; then
  printf '%s' "$out" | python3 -c 'import json, sys; json.load(sys.stdin)' ||
    { echo "FAILED: --json is no JSON"; failures=$((failures + 1)); }
fi

if [ -w /dev/full ]; then
  expect 1 'writing the answer: No space left on device' sh -c '"$0" doctor >/dev/full' "$aiox"
  expect 1 'writing the answer: No space left on device' sh -c '"$0" doctor --json "$1" >/dev/full' "$aiox" \
    "$AIOX_TEST_SCRATCH"
fi

# Each lane is turned off by its own variable, and by no other one's: that is what was asked for, and no failure.
expect $works 'AIOX_BACKEND=threads ' env AIOX_BACKEND=threads "$aiox" doctor
also '^io_uring +(off AIOX_BACKEND=threads turns it off|no )'
expect $works '^inline +off AIOX_INLINE=0 turns it off' env AIOX_INLINE=0 "$aiox" doctor
expect $works '^direct +(off AIOX_DIRECT=0 turns it off|no )' env AIOX_DIRECT=0 "$aiox" doctor
also ' AIOX_DIRECT=0 ' '^inline +yes' '^threads +yes'
expect $works ' AIOX_DIRECT_BLOCK=off$' "$aiox" doctor
expect $works ' AIOX_DIRECT_BLOCK=always$' env AIOX_DIRECT_BLOCK=always "$aiox" doctor
expect $works '"direct_block": "always"' env AIOX_DIRECT_BLOCK=always "$aiox" doctor --json
expect $works '"direct": 0' env AIOX_DIRECT=0 "$aiox" doctor --json
# A value or a name that the library does not know is one.
expect 1 '^settings +not in force: AIOX_DIRECT: "2" is not accepted; give a whole number from 0 to 1' \
  env AIOX_DIRECT=2 "$aiox" doctor
also ' AIOX_DIRECT=1 ' '^Does not work here: .*the settings\.'
expect 1 'AIOX_WORKER_MAX: no such variable' env AIOX_WORKER_MAX=3 "$aiox" doctor
expect 1 '"bad_variables": \[' env AIOX_BACKEND=fast "$aiox" doctor --json
also 'give auto, io_uring or threads'

# Whether LD_PRELOAD reaches programs is found by starting one.
if [ -z "${AIOX_TEST_SANITIZE:-}" ]; then
  expect $works '^preload +/.*/libaiox-preload\.so \(aiox [0-9.]+\): a program started with it is answered by it' \
    "$aiox" doctor
  expect 1 '^preload +AIOX_PRELOAD names /nonexistent, which does not exist' env AIOX_PRELOAD=/nonexistent "$aiox" \
    doctor
  expect 1 '^preload +/.*ld.so.cache is not a library' env AIOX_PRELOAD=/etc/ld.so.cache "$aiox" doctor
  other=$(ldd /bin/sh | sed -n 's/.*=> \(\/.*libc\.so[^ ]*\) .*/\1/p')
  expect 1 '^preload +(aio_read|io_submit) is answered by ' env AIOX_PRELOAD="$other" "$aiox" doctor
fi

# A sandbox, of any of the calls; which one, and how it was refused, is named.
"$refuse" EPERM io_setup -- true
if [ $? -ne 77 ]; then
  for call in io_setup io_submit io_pgetevents; do
    expect 1 "^direct +no +$call is forbidden.* allow io_setup, io_submit and io_pgetevents there" \
      "$refuse" EPERM $call -- "$aiox" doctor
    also "^ +Refused: $call \(EPERM\)\." '^ +This process runs under a seccomp filter \(Seccomp: 2' \
      "^sandbox .*refused: $call \(EPERM\)" \
      '^Does not work here: the lane direct\. '
    expect 1 "^direct +no +$call is not there" "$refuse" ENOSYS $call -- "$aiox" doctor
    also 'The kernel has the call: the filter hides it\.'
    expect 1 "^direct +no +$call is forbidden" env AIOX_DIRECT=0 "$refuse" EPERM $call -- "$aiox" doctor
  done
  expect 1 '^inline +no +preadv2 is forbidden.* allow preadv2 and pwritev2 there' "$refuse" EPERM preadv2 -- "$aiox" \
    doctor
  expect 1 '^inline +no +preadv2 is not there' "$refuse" ENOSYS preadv2 -- "$aiox" doctor
  expect 1 '"cause": "seccomp"' "$refuse" EPERM io_submit -- "$aiox" doctor --json
  also '"io_submit": "EPERM"' '"io_setup": "allowed"'
  if [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)" = 0 ]; then
    # As Docker's profile has it since 2023, and as older ones have.
    expect 1 '^io_uring +no +io_uring_setup is forbidden' "$refuse" EPERM io_uring_setup -- "$aiox" doctor
    also '^ +Refused: io_uring_setup \(EPERM\)\.' 'seccomp filter'
    expect 1 '^io_uring +no +io_uring_setup is not there' "$refuse" ENOSYS io_uring_setup -- "$aiox" doctor
    also '^ +Refused: io_uring_setup \(ENOSYS\)\.'
    # As kernels answer that do not know a ring without a descriptor.
    expect 1 '^io_uring +no +.*this kernel is too old; rings without a descriptor need Linux 6.5' \
      "$refuse" EINVAL io_uring_setup -- "$aiox" doctor
    also "^ +This is Linux $(uname -r)"
  fi
  # A sandbox that ends who makes the call: neither the doctor nor a program with aiox makes it.
  expect 1 '^inline +no +preadv2 is not there: .*or a sandbox hides it' "$refuse" KILL preadv2 -- "$aiox" doctor
  also '^sandbox .*refused: preadv2 \(SIGSYS\)' '^threads +yes' '^Does not work here: the lane inline'
  expect 1 '"preadv2": "SIGSYS"' "$refuse" KILL preadv2 -- "$aiox" doctor --json
  expect 1 'The lane inline does not work here: preadv2 is not there' \
    "$refuse" KILL preadv2 -- "$aiox" doctor "$AIOX_TEST_SCRATCH"
  also '^O_DIRECT read +'
  # A limit that is reached by the time of asking, and not any more.
  expect 1 '^direct +no +io_setup: fs.aio-max-nr is used up' "$refuse" EAGAIN io_setup -- "$aiox" doctor
else
  echo 'SKIP: the sandboxes, since no seccomp filter can be had here'
fi

# Limits. Root is above most of them.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && as_nobody test -x "$aiox"; then
  if "$aiox" doctor --json | grep -q '"name": "io_uring"' && as_nobody "$aiox" doctor | grep -q '^io_uring  yes'; then
    # shellcheck disable=SC3045  # dash knows ulimit -l
    expect 1 '^io_uring +no +io_uring_setup: no memory; raise the locked-memory limit' as_nobody sh \
      -c 'ulimit -l 0; exec "$0" doctor' "$aiox"
    also '^ +RLIMIT_MEMLOCK is 0 B' '^limits +locked memory 0 B,'
    expect 1 '"cause": "limit"' as_nobody sh -c 'ulimit -l 0; exec "$0" doctor --json' "$aiox"
    expect 1 '^io_uring +no +no thread could be started: raise ulimit -u' as_nobody prlimit --nproc=1 "$aiox" doctor
    also '^threads +No thread can be started: RLIMIT_NPROC allows this user 1 ' \
      ', service threads( |\.)|and service threads'
  fi
else
  echo 'SKIP: limits, since nobody but root is here, or cannot reach the build'
fi
# Somewhere between what the command needs to start and what it needs to try the lanes: little more.
was_said=no
for bytes in $(seq 12000000 -200000 5000000); do
  small=$(prlimit --as="$bytes" "$aiox" doctor 2>&1) && continue
  echo "$small" | grep -q 'the address space of this process is limited to [0-9.]* MiB' || continue
  was_said=yes
  break
done
[ $was_said = yes ] || fail "no address space is so small that the doctor names it: $small"
[ "$failures" -eq 0 ]
