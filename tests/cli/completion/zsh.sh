#!/bin/bash
# zsh.sh AIOX COMPLETION-FOLDER - completion for zsh, typed into one.
set -u
aiox=$1
folder=$2
here=$(cd "$(dirname "$0")" && pwd)
command -v zsh >/dev/null || { echo "SKIP: zsh is not here"; exit 77; }
zsh -n "$folder/_aiox" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
: >a-file
mkdir a-folder

typed=() expected=()
# becomes LINE LINE - the first, and a tab, are the second.
becomes() {
  typed+=("$aiox $1")
  expected+=("$aiox $2")
}
becomes 'doc' 'doctor '
becomes 'run --work' 'run --workers-max='
becomes 'run --backend thr' 'run --backend threads '
becomes 'run --backend=io' 'run --backend=io_uring '
becomes 'run --direct-block al' 'run --direct-block always '
becomes 'doctor --prog' 'doctor --program='
becomes 'doctor a-fi' 'doctor a-file '
becomes 'doctor --program ./a-fo' 'doctor --program ./a-folder/'
becomes "doctor --pid $$" "doctor --pid $$ "
becomes 'run -- cat a-fi' 'run -- cat a-file '
becomes 'run --verbose cat a-fo' 'run --verbose cat a-folder/'
becomes '--ver' '--version '
if "$aiox" --help | grep -q '^  bench '; then
  becomes 'bench di' 'bench diff '
  becomes 'bench diff --thr' 'bench diff --threshold='
  becomes 'bench diff a-fi' 'bench diff a-file '
  becomes 'bench --rw randw' 'bench --rw randwrite '
  becomes 'bench --directory a-' 'bench --directory a-folder/'
fi
if "$aiox" --help | grep -q '^  top '; then becomes 'top --sort p9' 'top --sort p99 '; fi
if "$aiox" --help | grep -q '^  stat '; then becomes "stat $$" "stat $$ "; fi

mapfile -t actual < <(zsh "$here/drive.zsh" "$folder" "${typed[@]}")
failures=0
for i in "${!typed[@]}"; do
  [ "${actual[i]-}" = "${expected[i]}" ] && continue
  echo "FAILED: \"${typed[i]}\" and a tab are \"${actual[i]-}\", expected \"${expected[i]}\""
  failures=$((failures + 1))
done
[ "$failures" -eq 0 ]
