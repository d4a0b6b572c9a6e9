"""Completion of commands, options and their values for bash, zsh and fish, written from the parsers.

Each script finds the command among the words typed so far, skips the values of options, and offers what may come next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from linux.commands import flags_with_value

if TYPE_CHECKING:
    from linux.commands import Command, Option

FOLDERS = {"DIR", "FOLDER"}
FILES = {"FILE", "PATH"}


def bash(root: Command) -> str:
    """For bash-completion: https://github.com/scop/bash-completion, found by the name of the command."""
    values, offers, known = [], [], []
    for command in root.all():
        path = " ".join(command.words)
        known += [f'"{path}"'] if path else []
        words = [*_flags(command), *_below(command), *_operand_choices(command)]
        offers.append(f'        "{path}") offers="{" ".join(words)}" ;;')
        for option in command.options:
            if option.value:
                patterns = "|".join(f'"{path}:{flag}"' for flag in option.flags)
                values.append(f"            {patterns}) {_bash_value(option)} ;;")
    return BASH % {
        "valued": "|".join(flags_with_value(root)),
        "known": "|".join(known),
        "values": "\n".join(values),
        "offers": "\n".join(offers),
    }


BASH = """\
# bash completion for burrow

_burrow() {
    local current="${COMP_WORDS[COMP_CWORD]}" path="" option="" offers="" word next i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        [[ $word == "=" ]] && continue
        if [[ -n $option ]]; then
            option=""
            continue
        fi
        case "$word" in
            %(valued)s) option="$word" ;;
            -*) ;;
            *)
                next="${path:+$path }$word"
                case "$next" in
                    %(known)s) path="$next" ;;
                esac
                ;;
        esac
    done
    [[ $current == "=" ]] && current=""
    if [[ -n $option ]]; then
        case "$path:$option" in
%(values)s
        esac
        return
    fi
    case "$path" in
%(offers)s
    esac
    mapfile -t COMPREPLY < <(compgen -W "$offers" -- "$current")
}

complete -F _burrow burrow
"""


def _bash_value(option: Option) -> str:
    if option.choices:
        return f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(option.choices)}" -- "$current")'
    if option.value in FOLDERS:
        return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current")'
    if option.value in FILES:
        return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current")'
    return ":"


def zsh(root: Command) -> str:
    """For compsys (zshcompsys(1)), as `_burrow` in a folder of `fpath`."""
    values, offers, known = [], [], []
    for command in root.all():
        path = " ".join(command.words)
        known += [f'"{path}"'] if path else []
        flags = [f"{_zsh(flag)}:{_zsh(option.about)}" for option in command.options for flag in option.flags]
        below = [f"{_zsh(each.words[-1])}:{_zsh(each.about)}" for each in command.commands]
        below += [_zsh(choice) for choice in _operand_choices(command)]
        offers.append(
            f'        "{path}")\n            commands=({_words(below)})\n            options=({_words(flags)})'
        )
        offers.append("            ;;")
        for option in command.options:
            if option.value:
                patterns = "|".join(f'"{path}:{flag}"' for flag in option.flags)
                values.append(f"            {patterns}) {_zsh_value(option)} ;;")
    return ZSH % {
        "valued": "|".join(flags_with_value(root)),
        "known": "|".join(known),
        "values": "\n".join(values),
        "offers": "\n".join(offers),
    }


ZSH = """\
#compdef burrow

_burrow() {
    local path_="" option="" word next
    local -a commands options
    for word in "${(@)words[2,CURRENT-1]}"; do
        if [[ -n $option ]]; then
            option=""
            continue
        fi
        case "$word" in
            (%(valued)s) option="$word" ;;
            (-*) ;;
            (*)
                next="${path_:+$path_ }$word"
                case "$next" in
                    (%(known)s) path_="$next" ;;
                esac
                ;;
        esac
    done
    if [[ -n $option ]]; then
        case "$path_:$option" in
%(values)s
        esac
        return
    fi
    case "$path_" in
%(offers)s
    esac
    _describe -t commands command commands
    [[ $words[CURRENT] == -* || ${#commands} -eq 0 ]] && _describe -o option options
}

_burrow "$@"
"""


def _zsh(words: str) -> str:
    return re.sub(r"([\\:])", r"\\\1", " ".join(words.split()))


def _words(entries: list[str]) -> str:
    return " ".join(quoted(entry) for entry in entries)


def _zsh_value(option: Option) -> str:
    if option.choices:
        return f"compadd -- {' '.join(option.choices)}"
    if option.value in FOLDERS:
        return "_files -/"
    return "_files" if option.value in FILES else "_message " + quoted(option.value)


def fish(root: Command) -> str:
    """For fish's `complete`, found by the name of the command."""
    lines = []
    for command in root.all():
        path = quoted(" ".join(command.words))
        start = f'complete -c burrow -n "__burrow_at {path}"'
        lines += [f"{start} -a {each.words[-1]} -d {quoted(each.about)}" for each in command.commands]
        lines += [f"{start} -a {quoted(choice)}" for choice in _operand_choices(command)]
        for option in command.options:
            names = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
            lines.append(f"{start} {names}{_fish_value(option)} -d {quoted(option.about)}")
    known = " ".join(quoted(" ".join(command.words)) for command in root.all() if command.words)
    return FISH % {"valued": " ".join(flags_with_value(root)), "known": known} + "\n".join(lines) + "\n"


FISH = """\
# fish completion for burrow

function __burrow_at --argument-names wanted
    set -l path
    set -l option
    for word in (commandline -opc)[2..]
        if test -n "$option"
            set option
            continue
        end
        if contains -- $word %(valued)s
            set option $word
        else if not string match -q -- '-*' $word
            set -l next (string join ' ' $path $word)
            if contains -- $next %(known)s
                set path $next
            end
        end
    end
    test "$path" = "$wanted"
end

complete -c burrow -f
"""


def _fish_value(option: Option) -> str:
    if option.choices:
        return f" -x -a {quoted(' '.join(option.choices))}"
    if option.value in FOLDERS:
        return " -x -a '(__fish_complete_directories)'"
    if option.value in FILES:
        return " -r -F"
    return " -x" if option.value else ""


def _flags(command: Command) -> list[str]:
    return [flag for option in command.options for flag in option.flags]


def _below(command: Command) -> list[str]:
    return [each.words[-1] for each in command.commands]


def _operand_choices(command: Command) -> list[str]:
    return [choice for operand in command.operands for choice in operand.choices]


def quoted(words: str) -> str:
    """One word of zsh and fish, in single quotes; an apostrophe becomes a typographic one, which both take alike."""
    plain = " ".join(words.split()).replace("'", "’")
    return f"'{plain}'"
