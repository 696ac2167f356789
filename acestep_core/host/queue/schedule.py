"""Which node runs next.

Starts from the output nodes and pulls in what they need; lazy inputs only once their node asks for them. Among the
nodes that are ready, those that show something soonest go first, as in ComfyUI: outputs and asynchronous nodes, then
nodes one and two steps before an output, then the order in which they were found.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

from acestep_core.host.graph.nodedef import Reader
from acestep_core.host.graph.wire import is_link


class Schedule:
    """The nodes still to run and what each waits for."""

    def __init__(self, prompt: Mapping[str, Any], read: Reader, is_cached: Callable[[str], bool]) -> None:
        self._prompt = prompt
        self._read = read
        self._is_cached = is_cached
        self._order: dict[str, int] = {}
        self._waits_for: dict[str, set[str]] = {}
        self._feeds: dict[str, set[str]] = {}
        self._ready: list[tuple[int, int, str]] = []
        self._found = 0

    def __bool__(self) -> bool:
        return bool(self._waits_for)

    def add(self, node_id: str) -> None:
        """Adds a node and everything it needs that is not cached."""
        added = []
        stack = [node_id]
        while stack:
            current = stack.pop()
            if current in self._waits_for:
                continue
            self._order[current] = self._found = self._found + 1
            self._waits_for[current] = set()
            self._feeds[current] = set()
            added.append(current)
            if not self._is_cached(current):
                stack.extend(source for source in self._sources(current) if not self._is_cached(source))
        for current in added:
            if not self._is_cached(current):
                for source in self._sources(current):
                    self._wait(current, source)
        for current in added:
            self._enqueue(current)

    def require(self, node_id: str, input_name: str) -> None:
        """Lets a node wait for one of its lazy inputs. It has to be put back with `put_back` afterwards."""
        source = self._prompt[node_id]["inputs"][input_name][0]
        if not self._is_cached(source):
            self.add(source)
            self._wait(node_id, source)

    def next(self) -> str | None:
        """A node that can run, or None while all wait for something."""
        while self._ready:
            node_id = heapq.heappop(self._ready)[2]
            if self._waits_for.get(node_id) == set():
                return node_id
        return None

    def put_back(self, node_id: str) -> None:
        """Returns a node that could not finish yet."""
        self._enqueue(node_id)

    def done(self, node_id: str) -> None:
        """Takes out a node that has run; those that waited for it become ready."""
        del self._waits_for[node_id]
        for consumer in self._feeds.pop(node_id):
            self._waits_for[consumer].discard(node_id)
            self._enqueue(consumer)

    def _sources(self, node_id: str) -> list[str]:
        node = self._prompt[node_id]
        declared = self._read(node["class_type"]).given(node["inputs"])
        return [
            value[0]
            for name, value in node["inputs"].items()
            if name in declared and is_link(value) and not declared[name].lazy
        ]

    def _wait(self, node_id: str, source: str) -> None:
        if source in self._waits_for:
            self._waits_for[node_id].add(source)
            self._feeds[source].add(node_id)

    def _enqueue(self, node_id: str) -> None:
        if not self._waits_for[node_id]:
            heapq.heappush(self._ready, (self._rank(node_id), self._order[node_id], node_id))

    def _rank(self, node_id: str) -> int:
        definition = self._read(self._prompt[node_id]["class_type"])
        if definition.is_output or definition.is_async:
            return 0
        if any(self._is_output(consumer) for consumer in self._feeds[node_id]):
            return 1
        if any(self._is_output(c2) for c1 in self._feeds[node_id] for c2 in self._feeds[c1]):
            return 2
        return 3

    def _is_output(self, node_id: str) -> bool:
        return self._read(self._prompt[node_id]["class_type"]).is_output
