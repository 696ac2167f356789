"""Where the planner deliberately differs from upstream, and why. Everything else equals the reference data."""

import contextlib
import re
from typing import Any

import yaml

from acestep_core.planner.plan import Plan
from acestep_core.song.description import Song
from acestep_core.vocabulary import UNKNOWN_LANGUAGE

REASONS = {
    "yaml_styles": "Upstream keeps YAML's quotes and block signs in the text, and quotes them again for the next "
    "prompt; we read what the YAML means.",
    "joined_lines": "Upstream joins the lines of a caption with a space and those of other fields with a line break; "
    "we join all with a space.",
    "lyrics_header": "Upstream's pattern for the header above the lyrics misses '# Lyrics' by one letter.",
    "language": "Upstream looks for the key vocal_language where the model writes language, so the language it detects "
    "is lost; ours fills the language wherever the user left it open.",
    "unset": "Upstream passes the text N/A on as a value; here the field is open, and the model fills it.",
}


def parsed_value(value: Any, written: str) -> Any:
    """What we read where upstream reads `value` in the text `written`, up to white space (`yaml_styles`,
    `joined_lines`). Where it is `value` itself, no rule applies."""
    if not isinstance(value, str):
        return value
    style = re.match(r"[|>][-+]?[0-9]?(?= )", value)
    if style and re.search(rf"{re.escape(style[0])}[ \t\r]*\n", written):
        return words(value.removeprefix(style[0]))
    if value[:1] in ("'", '"'):
        with contextlib.suppress(yaml.YAMLError):
            value = yaml.load(f"value: {value}", Loader=yaml.BaseLoader)["value"]
    return words(value)


def words(value: Any) -> Any:
    """Text with all white space alike."""
    return " ".join(value.split()) if isinstance(value, str) else value


def lyrics(text: str) -> str:
    """What we read where upstream reads `text` as lyrics (`lyrics_header`)."""
    return text.removeprefix("# Lyrics\n")


def merged(dit_call: dict[str, Any], song: Song, plan: Plan, use_language: bool) -> dict[str, Any]:
    """What reaches the DiT where upstream sends `dit_call` (`language`, `unset`)."""
    want = dict(dit_call)
    for name, field in (("key_scale", "keyscale"), ("time_signature", "timesignature")):
        if want[name].strip().lower() == "n/a":
            want[name] = getattr(plan, field)
    want["bpm"] = want["bpm"] or plan.bpm
    want["vocal_language"] = want["vocal_language"] or UNKNOWN_LANGUAGE
    if song.language == UNKNOWN_LANGUAGE and use_language:
        want["vocal_language"] = plan.language or UNKNOWN_LANGUAGE
    return want
