"""The plan as the language model writes it: a block of YAML between `<think>` and `</think>`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from acestep_core.song.codes import text_to_codes_lenient

PLAN_FIELDS = ("bpm", "caption", "duration", "keyscale", "language", "timesignature")
"""What a plan may hold, in the order the model writes it."""
KNOWN_FIELDS = (*PLAN_FIELDS, "genres")
"""What is read from the model's output; `genres` is asked for only where a recording is described for training."""

_CODE = re.compile(r"<\|audio_code_\d+\|>", re.ASCII)
_LYRICS_HEADER = re.compile(r"^#\s*lyrics?[ \t]*(\n|$)", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"[0-9]+")
_STYLED = re.compile(r"""['"]|[|>][-+]?[0-9]?\s*\n""")


@dataclass(frozen=True)
class Output:
    """What a language model's output text holds. `metas` are as written: checked by whoever uses them."""

    metas: dict[str, Any]
    codes: tuple[int, ...]
    lyrics: str


@dataclass(frozen=True)
class Entry:
    """One `field: value` of a plan. `value` may span lines; `line` is the number of the first, from 1.

    A line that belongs to no field has the name ''.
    """

    name: str
    value: str
    line: int


def dump(values: Mapping[str, Any]) -> str:
    """YAML as in the model's training data, without the final newline: PyYAML decides on folding and quoting."""
    return yaml.dump(dict(values), allow_unicode=True, sort_keys=True).removesuffix("\n") if values else ""


def plan_yaml(metas: Mapping[str, Any]) -> str:
    """The fields as the model reads and writes them. Numbers lose their quotes, `4/4` becomes 4, seconds are whole."""
    return dump({name: _plain(name, metas[name]) for name in PLAN_FIELDS if metas.get(name) is not None}).strip()


def serialize_cot(metas: Mapping[str, Any]) -> str:
    """The plan for the model to read, `<think>` tags included."""
    return f"<think>\n{plan_yaml(metas)}\n</think>"


def entries(text: str) -> Iterator[Entry]:
    """Cuts a plan into its fields. Indented and blank lines continue the field above them."""
    name, start = "", 0
    value: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and line[:1] not in (" ", "\t"):
            if start:
                yield Entry(name, "\n".join(value), start)
            key, colon, rest = line.partition(":")
            name, value, start = (key.strip().lower(), [rest], number) if colon else ("", [line], number)
        elif start:
            value.append(line)
        elif line.strip():
            yield Entry("", line, number)
    if start:
        yield Entry(name, "\n".join(value), start)


def scalar(written: str) -> str:
    """The text that a written value means.

    Quoted and block values are read as YAML. Anything else is taken literally, its lines joined with a space, so that
    `caption: The #1 hit: live` means what it says.

    Raises:
        yaml.YAMLError: a quote is never closed, or text follows it.
    """
    text = written.strip(" \t\n\r")
    if not _STYLED.match(text):
        return " ".join(filter(None, (line.strip(" \t\r") for line in text.split("\n"))))
    return yaml.load(f"value: {text}\n", Loader=yaml.BaseLoader)["value"]


def parse_cot(text: str) -> dict[str, Any]:
    """Fields from YAML-like lines, forgiving: odd lines are skipped, a repeated field counts as last written.

    Returns:
        Whole numbers as int for `bpm` and `duration`, everything else as text.
    """
    metas: dict[str, Any] = {}
    plan = "\n".join(line for line in text.strip().split("\n") if not line.strip().startswith("<"))
    for entry in entries(plan):
        value = _lenient_scalar(entry.value)
        if entry.name not in KNOWN_FIELDS or not value:
            continue
        metas[entry.name] = _whole_or_text(value) if entry.name in ("bpm", "duration") else value
    return metas


def parse_output(text: str) -> Output:
    """Reads a whole answer: the plan (closed or not), the codes, and the lyrics after the plan."""
    plan = _CODE.split(text, maxsplit=1)[0]
    for tag in ("reasoning", "think"):
        block = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        plan = block[1] if block and block[1].strip() else plan
    return Output(metas=parse_cot(plan), codes=text_to_codes_lenient(text)[0], lyrics=parse_lyrics(text))


def parse_lyrics(text: str) -> str:
    """The text after the first `</think>`, without its `# Lyric` header; empty where the plan never ends."""
    after = text.partition("</think>")[2].strip()
    return _LYRICS_HEADER.sub("", after).strip().removesuffix("<|im_end|>").strip()


def _plain(name: str, value: Any) -> Any:
    """The value in the type that YAML should write."""
    if name == "timesignature":
        value = str(value).removesuffix("/4")
    if isinstance(value, float):
        return int(value)
    return int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) else value


def _whole_or_text(value: str) -> int | str:
    """A whole number in any digits that Python knows, such as the full-width ones of Chinese and Japanese texts."""
    try:
        return int(value)
    except ValueError:
        return value


def _lenient_scalar(written: str) -> str:
    try:
        return scalar(written).strip()
    except yaml.YAMLError:
        return " ".join(written.split())
