"""Where runs of one group wait for each other, so that what each asks of a node is done for all of them at once.

A node class offers that with a class method `together(calls)`: it takes the arguments of several calls and gives for
each what the node's function would have given. If it raises, each is called for alone. Which of the calls really go
together, the node decides. Runs are coroutines of one event loop, so one of them works at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from acestep_core.errors import Cancelled
from acestep_core.host.graph.context import Interrupted

OFFER = "together"
"""The class method of a node that makes several calls at once."""


def meets(cls: Any) -> bool:
    """Whether a node class makes several calls at once."""
    return callable(getattr(cls, OFFER, None))


@dataclass(eq=False)
class _Asked:
    """A call that waits. `context` is the execution it was made in."""

    run: object
    kind: Hashable
    cls: Any
    arguments: dict[str, Any]
    answer: asyncio.Future[Any]
    context: Context = field(default_factory=copy_context)


class Meeting:
    """Of a group of runs. Each `leave`s when it ends."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._waiting: list[_Asked] = []

    async def ask(self, run: object, node_id: str, cls: Any, arguments: dict[str, Any]) -> Any:
        """What the node gives, once every run of the group waits like this one.

        Args:
            run: who asks.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(run, (node_id, cls), cls, arguments, answer))
        self._look()
        return await answer

    def leave(self) -> None:
        """A run has ended; the others need not wait for it."""
        self._runs -= 1
        self._look()

    def _look(self) -> None:
        """Once all wait, makes the calls at the node where most of them do."""
        self._waiting = [asked for asked in self._waiting if not asked.answer.done()]
        if not self._waiting or len({id(asked.run) for asked in self._waiting}) < self._runs:
            return
        kind = Counter(asked.kind for asked in self._waiting).most_common(1)[0][0]
        chosen = [asked for asked in self._waiting if asked.kind == kind]
        self._waiting = [asked for asked in self._waiting if asked.kind != kind]
        for asked, result in zip(chosen, _made(chosen), strict=True):
            if isinstance(result, BaseException):
                asked.answer.set_exception(result)
            else:
                asked.answer.set_result(result)


def _made(asked: Sequence[_Asked]) -> list[Any]:
    """The result or the error of each call."""
    try:
        return asked[0].context.run(getattr(asked[0].cls, OFFER), [each.arguments for each in asked])
    except (Cancelled, Interrupted) as error:
        return [error] * len(asked)
    except Exception as error:
        # one of them may be at fault, and the others shall not pay for it
        return [error] if len(asked) == 1 else [result for each in asked for result in _made([each])]
