"""How options are declared: what one says of itself, its check, and the groups they stand in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Self

from acestep_core.errors import InvalidInput
from acestep_core.values import real, truth, whole


@dataclass(frozen=True)
class Option:
    """One setting.

    Attributes:
        name: within its group; `flat`: in records, flags and keyword arguments; `widget`: on its node.
        kind: `bool`, `int`, `float`, `str`, `numbers` or `names` (tuples of floats or texts).
        default: None if the setting may stay open; `nullable`: None means something besides the default.
        help: one sentence.
        low, high, step, unit: of a number.
        choices: the texts that are allowed; with `free` others are, too, and are checked where they are used.
        empty: what a widget, which cannot hold None, shows in its place.
        example: what a widget shows at first, where that is not the default.
        advanced: for those who look for it.
        counts: by widgets beside it, for which of their values this one counts; else it is not looked at.
        field: how a widget looks, in the words of the canvas (`multiline`, `label_on`, ...).
    """

    name: str
    flat: str
    widget: str
    kind: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    free: bool = False
    nullable: bool = False
    empty: Any = None
    example: Any = None
    advanced: bool = False
    counts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    field: Mapping[str, Any] = field(default_factory=dict)

    def checked(self, value: Any) -> Any:
        """The value in its own type.

        Raises:
            InvalidInput: it is of another kind, or out of range.
        """
        if value is None and (self.default is None or self.nullable):
            return None
        found = self.read(value)
        wrong = found is None or (self.choices and not self.free and self.kind == "str" and found not in self.choices)
        if wrong or not self._within(found):
            raise InvalidInput(f"{self.flat} must be {self.allowed()}, not {value!r}.")
        return found

    def read(self, value: Any) -> Any:
        """The value in its own type, as number, text or list, in range or not; None if it is of another kind."""
        found = _READERS[self.kind](value)
        if self.kind == "str" and self.choices and isinstance(found, str):
            return next((choice for choice in self.choices if choice.lower() == found.strip().lower()), found)
        return found

    def allowed(self) -> str:
        """What the setting takes, in words."""
        or_nothing = ", or nothing" if self.default is None else ""
        if self.kind == "bool":
            return "true or false"
        if self.choices and not self.free:
            return f"one of {', '.join(self.choices)}"
        if self.kind == "str":
            return "text"
        if self.kind in ("numbers", "names"):
            return f"a list of {'numbers' if self.kind == 'numbers' else 'names'}{or_nothing}"
        number = "a whole number" if self.kind == "int" else "a number"
        unit = f" {self.unit}" if self.unit else ""
        return f"{number} from {_plain(self.low)} to {_plain(self.high)}{unit}{or_nothing}"

    def from_widget(self, value: Any) -> Any:
        """The setting's value from its widget's."""
        if self.empty is not None and (value.strip() if isinstance(value, str) else value) == self.empty:
            return self.default
        return value

    def to_widget(self, value: Any) -> Any:
        """What the widget shows for a value."""
        if self.empty is not None and value in (None, ""):
            return self.empty
        return ", ".join(map(str, value)) if self.kind in ("numbers", "names") else value

    def _within(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)


def _reals(value: Any) -> tuple[float, ...] | None:
    # beside semicolons, a comma without a space is a decimal one
    given = _split(value, r";|,\s" if ";" in value else ",") if isinstance(value, str) else value
    found = [real(entry) for entry in given] if isinstance(given, Iterable) else [None]
    return None if None in found else tuple(found)  # type: ignore[arg-type]


def _names(value: Any) -> tuple[str, ...] | None:
    given = _split(value, "[,;]") if isinstance(value, str) else value
    texts = isinstance(given, Sequence) and all(isinstance(entry, str) for entry in given)
    return tuple(given) if texts else None


_READERS: Mapping[str, Any] = {
    "bool": truth,
    "int": whole,
    "float": real,
    "str": lambda value: value if isinstance(value, str) else None,
    "numbers": _reals,
    "names": _names,
}
_KINDS = {"tuple[float, ...]": "numbers", "tuple[str, ...]": "names"}


def _split(text: str, marks: str) -> list[str]:
    """The entries of a list in one text, which line breaks separate, too."""
    return [entry.strip() for entry in re.split(rf"{marks}|\n", text) if entry.strip()]


def _plain(number: float | None) -> str:
    return "any" if number is None else f"{number:g}" if abs(number) < 1e6 else str(int(number))


def option(default: Any, help: str, **declared: Any) -> Any:
    """Declares a field of a group; see `Option` for what may follow."""
    return field(default=default, metadata={"help": help, **declared})


class Options:
    """Base of all groups: a frozen dataclass whose fields are options."""

    PREFIX: ClassVar[str] = ""
    """Before the names of the group in the flat list."""

    def __post_init__(self) -> None:
        for declared in options_of(type(self)):
            object.__setattr__(self, declared.name, declared.checked(getattr(self, declared.name)))

    @classmethod
    def from_widgets(cls, values: Mapping[str, Any]) -> Self:
        """The group from the values of its widgets; others are passed over."""
        known = {o.name: o.from_widget(values[o.widget]) for o in options_of(cls) if o.widget in values}
        return cls(**known)

    def to_widgets(self) -> dict[str, Any]:
        """What the widgets show for the group."""
        return {o.widget: o.to_widget(getattr(self, o.name)) for o in options_of(type(self))}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Self:
        """The group from values by their flat names; others are passed over."""
        return cls(**{o.name: values[o.flat] for o in options_of(cls) if o.flat in values})

    def to_flat(self) -> dict[str, Any]:
        """All values by their flat names, as plain JSON."""
        found = {o.flat: getattr(self, o.name) for o in options_of(type(self))}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


class Groups:
    """Base of several groups together: a frozen dataclass with a group in each field."""

    UNKNOWN: ClassVar[str] = ""
    """What is said of a name that no group has; {!r} is that name."""

    def __post_init__(self) -> None:
        for name, group in self.groups().items():
            if not isinstance(value := getattr(self, name), group):
                mine, its = type(self).__name__, group.__name__
                raise InvalidInput(
                    f"{mine}({name}=...) takes a {its}, not {value!r}; give single settings to {mine}.of(...)."
                )

    @classmethod
    def groups(cls) -> dict[str, type[Options]]:
        """The groups by the names of their fields."""
        return {entry.name: type(entry.default) for entry in fields(cls)}  # type: ignore[arg-type, misc]

    @classmethod
    def of(cls, **flat: Any) -> Self:
        """All groups from flat names: `RenderSettings.of(steps=4, guidance_mode="cfg", method="heun")`.

        Raises:
            InvalidInput: a value is out of range, or there is no such setting.
        """
        names = {o.flat for group in cls.groups().values() for o in options_of(group)}
        if unknown := sorted(flat.keys() - names):
            raise InvalidInput(cls.UNKNOWN.format(unknown[0]))
        return cls(**{name: group.from_flat(flat) for name, group in cls.groups().items()})

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary by flat names; `of` reads it back."""
        return {name: value for group in self.groups() for name, value in getattr(self, group).to_flat().items()}


def options_of(group: type) -> tuple[Option, ...]:
    """The options of a group, in the order in which they are declared."""
    return _options_of(group)


@cache
def _options_of(group: Any) -> tuple[Option, ...]:
    found = []
    for entry in fields(group):
        if "help" in entry.metadata:
            declared = dict(entry.metadata)
            kind = str(entry.type).removesuffix(" | None")
            flat = declared.pop("flat", group.PREFIX + entry.name)
            widget = declared.pop("widget", entry.name)
            found.append(Option(entry.name, flat, widget, _KINDS.get(kind, kind), entry.default, **declared))
    return tuple(found)
