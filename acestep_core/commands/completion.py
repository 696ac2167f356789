"""`acestep completion bash|zsh|fish`: makes the shell complete commands, flags, their choices and workflows."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator

from acestep_core.commands.flags import examples

SHELLS = ("bash", "zsh", "fish")
_BASH = """\
_acestep() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= candidates= part
    for part in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $part in {commands}) command=$part; break;; esac
    done
    case "$command $before" in
{choices}
        *) case "$command" in
{flags}
        esac;;
    esac
    COMPREPLY=($(compgen -W "$candidates" -- "$word"))
}}
complete -o default -F _acestep acestep
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "completion",
        help="complete commands in your shell",
        description=__doc__,
        **examples("acestep completion bash >> ~/.bashrc", "acestep completion fish | source"),
    )
    parser.add_argument("shell", choices=SHELLS)


def run(options: argparse.Namespace) -> int:
    from acestep_core.commands.main import build

    commands = dict(_commands(build()[0]))
    sys.stdout.write(_fish(commands) if options.shell == "fish" else _bash(commands, options.shell))
    return 0


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _words(action: argparse.Action) -> list[str]:
    """What may stand where the action takes a value, as far as that is known."""
    if action.dest == "file":
        from acestep_core.commands.workflows import shipped

        return list(shipped())
    return [str(choice) for choice in action.choices or ()]


def _bash(commands: dict[str, argparse.ArgumentParser], shell: str) -> str:
    choices, flags = [], [f'            "") candidates="{" ".join(commands)}";;']
    for name, parser in commands.items():
        words: list[str] = []
        for action in parser._actions:
            known = _words(action)
            if action.option_strings and known:
                pattern = "|".join(f'"{name} {flag}"' for flag in action.option_strings)
                choices.append(f"        {pattern}) candidates={shlex.quote(' '.join(known))};;")
            words += action.option_strings or known
        flags.append(f"            {name}) candidates={shlex.quote(' '.join(words))};;")
    text = _BASH.format(commands="|".join(commands), choices="\n".join(choices), flags="\n".join(flags))
    return text if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{text}"


def _fish(commands: dict[str, argparse.ArgumentParser]) -> str:
    lines = [f"complete -c acestep -n __fish_use_subcommand -f -a {shlex.quote(' '.join(commands))}"]
    for name, parser in commands.items():
        here = f"complete -c acestep -n '__fish_seen_subcommand_from {name}'"
        for action in parser._actions:
            known = f" -a {shlex.quote(' '.join(_words(action)))}" if _words(action) else ""
            takes = " -r" if action.option_strings and action.nargs != 0 else ""
            for flag in action.option_strings:
                kind = "-l" if flag.startswith("--") else "-s"
                about = shlex.quote((action.help or "").replace("%%", "%"))
                lines.append(f"{here} {kind} {flag.lstrip('-')}{takes}{known} -d {about}")
            if known and not action.option_strings:
                lines.append(f"{here}{known}")
    return "\n".join(lines) + "\n"
