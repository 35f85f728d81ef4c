# aiox.bash - completion of the aiox command for bash; works with bash-completion and without. Commands, options and values
# with names of their own come from `aiox COMMAND --help`, so that they are those of the aiox that is about to run; what a
# value is, where its name in --help does not say so, stands in _aiox_values.

# _aiox_options PROGRAM [COMMAND...] - a line for each option of that command: its name, a tab, what its value is (empty: it
# takes none). An option with several names has several lines.
_aiox_options() {
  "$@" --help 2>/dev/null </dev/null | awk '
    /^  -/ {
      line = substr($0, 3)
      gap = index(line, "  ")
      if (gap) line = substr(line, 1, gap - 1)
      value = index(line, " ") ? substr(line, index(line, " ") + 1) : ""
      count = split(index(line, " ") ? substr(line, 1, index(line, " ") - 1) : line, names, ",")
      for (i = 1; i <= count; i++) print names[i] "\t" value
    }'
}

# _aiox_commands PROGRAM [COMMAND...] - its subcommands.
_aiox_commands() {
  "$@" --help 2>/dev/null </dev/null | awk '
    /^Subcommands:/ { is_on = 1; next }
    /^$/ { is_on = 0 }
    is_on && /^  [a-z]/ { print $1 }'
}

# _aiox_lanes PROGRAM - the lanes that an engine of aiox bench can be left alone.
_aiox_lanes() { "$1" bench --help 2>/dev/null </dev/null | grep -oE 'aiox:[a-z_]+' | cut -d : -f 2 | sort -u; }

_aiox_processes() { (cd /proc && echo [0-9]*); }

_aiox_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# _aiox_values COMMAND OPTION KIND WORD PROGRAM - what may stand behind the option, KIND being what --help calls its value.
_aiox_values() {
  local word=$4 list=''
  case $2 in
  --program)
    if [[ $word == */* ]]; then _aiox_files "$word"; else mapfile -t COMPREPLY < <(compgen -c -- "$word"); fi
    return
    ;;
  --pid) list=$(_aiox_processes) ;;
  --engine | --ioengine)
    local lane
    list='glibc libaio io_uring psync threads aiox aiox-libaio'
    for lane in $(_aiox_lanes "$5"); do list+=" aiox:$lane aiox-libaio:$lane"; done
    ;;
  --rw | --readwrite) list='read write randread randwrite rw randrw' ;;
  --sort) list='ops bytes flight p99 errors pid' ;;
  *)
    case $3 in
    FILE* | PATH*) _aiox_files "$word" && return ;;
    DIR*)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    0..1) list='0 1' ;;
    *\|*) list=${3//|/ } ;;
    esac
    ;;
  esac
  # Of a list with commas the last one is completed.
  local done=''
  if [[ $word == *,* && $2 == --*engine ]]; then
    done=${word%,*},
    word=${word##*,}
  fi
  mapfile -t COMPREPLY < <(compgen -P "$done" -W "$list" -- "$word")
}

_aiox() {
  COMPREPLY=()
  # Words as they were written: bash takes them apart at "=" and ":". starts: where each begins in COMP_WORDS.
  local -a words=() starts=()
  local i word rest=$COMP_LINE
  for ((i = 0; i <= COMP_CWORD; ++i)); do
    if ((i == 0)) || [[ $rest == [[:space:]]* || -z $rest ]]; then
      rest=${rest#"${rest%%[![:space:]]*}"}
      words+=("${COMP_WORDS[i]}")
      starts+=("$i")
    else
      words[-1]+=${COMP_WORDS[i]}
    fi
    rest=${rest#"${COMP_WORDS[i]}"}
  done
  local cursor=$((${#words[@]} - 1))
  word=${words[cursor]}
  local program=${words[0]/#\~/$HOME}

  # The command, and how many words it has.
  local -a command=("$program")
  local at=1
  if ((cursor >= 2)) && [[ ${words[1]} != -* ]]; then
    command+=("${words[1]}")
    at=2
    if [[ ${words[1]} == bench && $cursor -ge 3 && ${words[2]} == diff ]]; then
      command+=(diff)
      at=3
    fi
  fi

  local options
  options=$(_aiox_options "${command[@]}")
  local kind name
  # The value of the option before it, or its own behind "=".
  local option='' value=$word
  if [[ $word == --*=* ]]; then
    option=${word%%=*} value=${word#*=}
  elif ((cursor > at)) && [[ ${words[cursor - 1]} == -* ]]; then
    option=${words[cursor - 1]}
  fi

  # What follows the program of `aiox run` is the program's.
  if [[ ${command[1]-} == run ]]; then
    for ((i = at; i < cursor; ++i)); do
      [[ ${words[i]} == -- ]] && ((++i)) && break
      [[ ${words[i]} == -* ]] || break
      kind=$(awk -F '\t' -v name="${words[i]}" '$1 == name { print $2 }' <<<"$options")
      [[ -z $kind ]] || ((++i))
    done
    if ((i <= cursor)) && { ((i < cursor)) || [[ ${words[i - 1]} == -- || $word != -* ]]; }; then
      if declare -F _command_offset >/dev/null; then
        _command_offset "${starts[i]}"
      elif ((i == cursor)) && [[ $word != */* ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$word")
      else
        _aiox_files "$word"
      fi
      return
    fi
  fi

  if [[ -n $option ]]; then
    while IFS=$'\t' read -r name kind; do
      [[ $name == "$option" && -n $kind ]] || continue
      _aiox_values "${command[*]:1}" "$option" "$kind" "$value" "$program"
      # bash replaces what is behind the last "=" or ":" only.
      if [[ $value == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${value%:*}":}")
      elif [[ $word == --*=* && $COMP_WORDBREAKS != *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]/#/$option=}")
      fi
      return
    done <<<"$options"
  fi

  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(cut -f 1 <<<"$options")" -- "$word")
    return
  fi
  case "${command[*]:1}" in
  '') mapfile -t COMPREPLY < <(compgen -W "$(_aiox_commands "$program")" -- "$word") ;;
  bench) mapfile -t COMPREPLY < <(compgen -W "$(_aiox_commands "${command[@]}")" -- "$word") ;;
  stat) ((cursor > at)) || mapfile -t COMPREPLY < <(compgen -W "$(_aiox_processes)" -- "$word") ;;
  doctor | 'bench diff') _aiox_files "$word" ;;
  esac
}

complete -F _aiox aiox
