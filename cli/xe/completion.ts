// `xe completion`: completion for bash. Commands, parameters and values are asked of the host, so it fits any.
export function bashCompletion(): string {
  return `# bash completion for xe: source <(xe completion), or put it into ~/.local/share/bash-completion/completions/xe
__xe() { command xe "$@" 2>/dev/null </dev/null; }
_xe() {
  local cur prev cmd= i word switches=()
  COMPREPLY=()
  # '=' and ':' belong to words here.
  local line=\${COMP_LINE:0:COMP_POINT}
  local words=($line)
  [[ $line == *' ' ]] && words+=('')
  cur=\${words[\${#words[@]}-1]}
  for ((i = 1; i < \${#words[@]} - 1; i++)); do
    case \${words[i]} in
      -s|-h|-p|-u|-pw|-pwf) switches+=("\${words[i]}" "\${words[i+1]}"); ((i++)) ;;
      -*) [[ \${words[i]} == --nossl ]] && switches+=(--nossl) ;;
      *) [[ -z $cmd ]] && cmd=\${words[i]} ;;
    esac
  done
  if [[ -z $cmd || $cmd == help ]]; then
    COMPREPLY=($(compgen -W "help $(__xe "\${switches[@]}" help --all --minimal | tr , ' ')" -- "$cur"))
    [[ \${#COMPREPLY[@]} -ge 1 ]] && compopt -o nosort 2>/dev/null
    return
  fi
  local name=\${cur%%=*} value=\${cur#*=} found class
  if [[ $cur == *=* ]]; then
    case $name in
      *filename|file-name|certificate|*-filename) compopt -o filenames; COMPREPLY=($(compgen -f -- "$value")); return ;;
      params) class=\${cmd%-list}; found="all $(__xe "\${switches[@]}" help "$cmd" | sed -n 's/^ *optional params *: //p' | tr -d ,)" ;;
      uuid) class=\${cmd%%-*}; [[ $cmd =~ ^(host-cpu|vm-group|host-crashdump) ]] && class=\${BASH_REMATCH[1]}
        found=$(__xe "\${switches[@]}" "$class-list" params=uuid --minimal | tr , ' ') ;;
      vm) found=$(__xe "\${switches[@]}" vm-list params=name-label --minimal | tr , '\\n') ;;
      template|template-name|template-name-label) found=$(__xe "\${switches[@]}" template-list params=name-label --minimal | tr , '\\n') ;;
      *-uuid) class=\${name%-uuid}; [[ $class == snapshot || $class == template ]] || class=\${class##*-}
        found=$(__xe "\${switches[@]}" "$class-list" params=uuid --minimal | tr , ' ') ;;
      *) class=\${cmd%-list}; found=$(__xe "\${switches[@]}" "$class-list" params="$name" --minimal | tr , '\\n') ;;
    esac
    local IFS=$'\\n'
    [[ $found == *$'\\n'* ]] || IFS=$' \\n'
    COMPREPLY=($(compgen -W "$found" -- "$value"))
    # Names may have spaces.
    for i in "\${!COMPREPLY[@]}"; do printf -v "COMPREPLY[i]" %q "\${COMPREPLY[i]}"; done
    return
  fi
  found=$(__xe "\${switches[@]}" help "$cmd" | sed -n 's/^ *\\(reqd\\|optional\\) params *: //p' | tr ',\\n' '  ')
  for word in $found; do
    case $word in
      '<vm-selectors>') COMPREPLY+=($(compgen -W 'vm= uuid= --multiple' -- "$cur")) ;;
      '<'*) COMPREPLY+=($(compgen -W 'uuid= --multiple' -- "$cur")) ;;
      force) COMPREPLY+=($(compgen -W '--force' -- "$cur")) ;;
      *:|*:contains) COMPREPLY+=($(compgen -W "$word" -- "$cur")) ;;
      *) COMPREPLY+=($(compgen -W "$word=" -- "$cur")) ;;
    esac
  done
  COMPREPLY+=($(compgen -W '--minimal' -- "$cur"))
  compopt -o nospace
}
COMP_WORDBREAKS=\${COMP_WORDBREAKS//:}
complete -F _xe xe
`;
}
