# drive.zsh FOLDER-OF-_aiox LINE... - types each LINE and a tab into an interactive zsh that completes by FOLDER's _aiox, and
# prints what the line has become.
emulate zsh
zmodload zsh/zpty || exit 77
folder=$1
shift
settings=$(mktemp -d) || exit 1
trap 'rm -rf $settings' EXIT
# All of it before the first line is read, and a word when it is: what is typed earlier may be lost.
cat >$settings/.zshrc <<END
PS1= RPS1= PS2=
fpath=(${(q)folder} \$fpath)
autoload -Uz compinit && compinit -u -D
unsetopt beep list_beep auto_list prompt_sp
LISTMAX=10000
show() { print -r -- "<<\$BUFFER>>"; BUFFER=; zle -R }
zle -N show
bindkey '^X' show
zle-line-init() { print -r -- begin-now }
zle -N zle-line-init
END
zpty shell env TERM=dumb ZDOTDIR=$settings zsh -d -i
said=
# until_said PATTERN - reads what the shell prints until it has that.
until_said() {
  local chunk
  for ((tries = 0; tries < 300; ++tries)); do
    while zpty -r -t shell chunk; do said+=$chunk; done
    [[ $said == ${~1} ]] && return
    sleep 0.05
  done
  print -r -- "no answer: $said"
  exit 1
}
until_said '*begin-now*'
for line; do
  said=
  zpty -w -n shell "$line"$'\t\x18'
  until_said '*<<*>>*'
  said=${said##*<<}
  print -r -- "${said%%>>*}"
done
zpty -d shell
