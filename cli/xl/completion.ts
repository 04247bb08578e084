// `xl completion bash`: the shell's completion, made from the table of verbs.
import { Failure, optionsOf, type Given, type Verb } from './verb.ts';
import type { Xl } from './context.ts';

const quoted = (words: readonly string[]): string => `'${words.join(' ')}'`;

export function bashCompletion(verbs: readonly Verb[]): string {
  const cases = verbs.map((verb) => {
    const options = optionsOf(verb).flatMap((o) => [
      ...(o.short ? [`-${o.short}`] : []),
      ...(o.long ? [`--${o.long}`] : []),
    ]);
    const what = verb.completes ?? 'nothing';
    return `    ${verb.name}) options=${quoted(options)}; what=${what} ;;`;
  });
  return `# bash completion for xl: source it, or put it into ~/.local/share/bash-completion/completions/xl
_xl() {
  local word=\${COMP_WORDS[COMP_CWORD]} verb= options= what=nothing i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -* ]] || { verb=\${COMP_WORDS[i]}; break; }
  done
  if [[ -z $verb || $verb == help ]]; then
    COMPREPLY=($(compgen -W ${quoted(['help', ...verbs.map(({ name }) => name)])} -- "$word"))
    return
  fi
  case $verb in
${cases.join('\n')}
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ $what == domain ]]; then
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(xl vm-list 2>/dev/null | sed -n '2,$s/^[^ ]*  *[0-9]*  *\\(.*[^ ]\\) *$/\\1/p')" -- "$word"))
  elif [[ $what == file ]]; then
    compopt -o filenames
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -F _xl xl
`;
}

export const completionVerb = (verbs: () => readonly Verb[]): Verb => ({
  name: 'completion',
  usage: 'bash',
  about: "Print the shell's completion for xl: `source <(xl completion bash)`",
  needs: 1,
  run: (xl: Xl, { args }: Given): number => {
    if (args[0] !== 'bash') throw new Failure(`xl: there is a completion for bash, not for '${args[0]}'.`);
    xl.io.out(bashCompletion(verbs()));
    return 0;
  },
});
