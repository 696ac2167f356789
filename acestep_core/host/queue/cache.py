"""Results kept between prompts, keyed by what produced them.

A node's key covers its class, its declared inputs, what its `IS_CHANGED` said, and the keys of the nodes it depends on;
its id only if the class asks for that. Inputs that the class does not declare have no influence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from acestep_core.host.graph.nodedef import Reader
from acestep_core.host.graph.wire import is_link


@dataclass(frozen=True)
class Entry:
    """What a node produced: one list of values per output, and what it shows (None if nothing)."""

    outputs: list[list[Any]]
    ui: dict[str, Any] | None


class ResultCache:
    """Entries by key. Before each prompt everything that the prompt cannot use is dropped."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def keep_only(self, keys: Collection[str | None]) -> None:
        self._entries = {key: entry for key, entry in self._entries.items() if key in keys}

    def get(self, key: str | None) -> Entry | None:
        return None if key is None else self._entries.get(key)

    def put(self, key: str | None, entry: Entry) -> None:
        if key is not None:
            self._entries[key] = entry

    def clear(self) -> None:
        self._entries = {}


def node_keys(prompt: Mapping[str, Any], read: Reader, changed: Mapping[str, Any]) -> dict[str, str | None]:
    """The cache key of every node; None where a result must not be reused.

    Args:
        prompt: API-format prompt, of which nodes that no output needs may be invalid.
        read: node definitions.
        changed: what `IS_CHANGED` returned, by node id; absent where there is none. NaN, or anything that cannot be
            compared by value, means always run.
    """
    keys: dict[str, str | None] = {}
    for root in prompt:
        stack = [root]
        waiting: set[str] = set()
        while stack:
            node_id = stack[-1]
            if node_id in keys:
                stack.pop()
                continue
            sources = [source for source in _sources(prompt, node_id, read) if source not in keys]
            if node_id in waiting or not sources:
                # a source still without a key means a cycle, which `_key` answers with None
                keys[node_id] = _key(node_id, prompt, read, changed, keys)
                stack.pop()
            else:
                waiting.add(node_id)
                stack.extend(sources)
    return keys


def _sources(prompt: Mapping[str, Any], node_id: str, read: Reader) -> list[str]:
    node = prompt.get(node_id)
    inputs = node.get("inputs") if node else None
    if not isinstance(inputs, dict):
        return []
    declared = read(node["class_type"]).given(inputs)  # type: ignore[index]
    return [value[0] for name, value in inputs.items() if name in declared and is_link(value)]


def _key(
    node_id: str, prompt: Mapping[str, Any], read: Reader, changed: Mapping[str, Any], keys: Mapping[str, str | None]
) -> str | None:
    node = prompt.get(node_id)
    if node is None or not isinstance(node.get("inputs"), dict):
        return None
    definition = read(node["class_type"])
    inputs: dict[str, Any] = {}
    for name in definition.given(node["inputs"]):
        if name not in node["inputs"]:
            continue
        value = node["inputs"][name]
        if is_link(value):
            source = keys.get(value[0])
            if source is None:
                return None
            inputs[name] = {"from": source, "slot": value[1]}
        else:
            inputs[name] = [value]
    signature = [node["class_type"], inputs, changed.get(node_id, False), node_id if definition.keyed_by_id else None]
    try:
        text = json.dumps(signature, sort_keys=True, allow_nan=False, default=_bytes)
    except (TypeError, ValueError, RecursionError):
        return None
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def _bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise TypeError(f"{type(value).__name__} has no stable value")
