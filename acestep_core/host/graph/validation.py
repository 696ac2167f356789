"""Checks a prompt before it is queued, and reports what is wrong in ComfyUI's words, types and structure.

Source of the behaviour: ComfyUI 0.20.1's answers (tests/golden/host). Values are converted to their declared type in
place. Nodes that no output needs are not looked at, except for their class. The walk does not recurse, so that a long
chain of nodes cannot exhaust the stack.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field
from typing import Any

from acestep_core.host.graph.literals import chosen, literal
from acestep_core.host.graph.mapping import input_lists, map_over_lists
from acestep_core.host.graph.nodedef import Input, NodeDef, Reader
from acestep_core.host.graph.packs import Registry
from acestep_core.host.graph.wire import MAX_NODES, clean

Problem = dict[str, Any]
"""One entry of an `errors` list: type, message, details, extra_info."""

Verdict = tuple[bool, list[Problem]]


@dataclass
class Report:
    """What validation found. The prompt can run if `error` is None, perhaps with fewer outputs than it has."""

    error: Problem | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate(
    prompt: Any,
    registry: Registry,
    targets: Collection[str] | None = None,
    max_nodes: int = MAX_NODES,
    redact: Callable[[str], str] = str,
) -> Report:
    """Validates an API-format prompt.

    Args:
        prompt: node id -> `{"class_type", "inputs", "_meta"}`; anything else is reported, never raised.
        registry: the node types there are.
        targets: run only these output nodes; all if None.
        max_nodes: larger prompts are refused.
        redact: cleans texts of exceptions of what clients should not see.
    """
    if not isinstance(prompt, dict):
        return Report(_problem("invalid_prompt", "The prompt must be a JSON object", "", {}))
    if len(prompt) > max_nodes:
        return Report(_problem("prompt_too_large", f"Prompt has more than {max_nodes} nodes", str(len(prompt)), {}))
    outputs = []
    for node_id, node in prompt.items():
        error = _check_class(node_id, node, registry)
        if error is not None:
            return Report(error)
        is_output = getattr(registry.cls(node["class_type"]), "OUTPUT_NODE", False) is True
        if is_output and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Report(_problem("prompt_no_outputs", "Prompt has no outputs", "", {}))
    return _check_outputs(prompt, outputs, _Checker(prompt, registry.reader(), redact))


def _check_class(node_id: str, node: Any, registry: Registry) -> Problem | None:
    meta = node.get("_meta") if isinstance(node, dict) else None
    title = meta.get("title") if isinstance(meta, dict) else None
    class_type = node.get("class_type") if isinstance(node, dict) else None
    if class_type in registry:
        return None
    if class_type is None:
        shown = title or f"ID #{node_id}"
        message = f"Node '{shown}' has no class_type. The workflow may be corrupted or a custom node is missing."
    else:
        title = class_type if title is None else title
        message = f"Node '{title}' not found. The custom node may not be installed."
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return _problem("missing_node_type", message, f"Node ID '#{node_id}'", extra)


def _check_outputs(prompt: dict[str, Any], outputs: list[str], checker: _Checker) -> Report:
    report = Report()
    own_problems = []
    for output in outputs:
        try:
            valid, problems = checker.check(output)
        except Exception as error:  # whatever a node's own declarations or validator raise
            about = {"exception_type": type_name(error), "traceback": where(error)}
            valid = False
            problems = [
                _problem(
                    "exception_during_validation", "Exception when validating node", checker.redact(str(error)), about
                )
            ]
            checker.verdicts[output] = (False, problems)
        if valid:
            report.outputs.append(output)
            continue
        own_problems += problems
        for node_id, (node_valid, node_problems) in checker.verdicts.items():
            if not node_valid and node_problems:
                entry = {"errors": node_problems, "dependent_outputs": [], "class_type": prompt[node_id]["class_type"]}
                report.node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)
    if not report.outputs:
        details = "\n".join(f"{problem['message']}: {problem['details']}" for problem in own_problems)
        report.error = _problem("prompt_outputs_failed_validation", "Prompt outputs failed validation", details, {})
    return report


class _Checker:
    """Validates nodes with all they depend on; remembers verdicts across the outputs of one prompt."""

    def __init__(self, prompt: dict[str, Any], read: Reader, redact: Callable[[str], str]) -> None:
        self.prompt = prompt
        self.read = read
        self.redact = redact
        self.verdicts: dict[str, Verdict] = {}

    def check(self, node_id: str) -> Verdict:
        """Drives `_node` generators, each of which asks for the verdict on another node by yielding its id."""
        if node_id in self.verdicts:
            return self.verdicts[node_id]
        path = {node_id: self._node(node_id)}
        answer: Verdict | Exception | None = None
        while path:
            current, walk = next(reversed(path.items()))
            try:
                wanted = walk.throw(answer) if isinstance(answer, Exception) else walk.send(answer)
            except StopIteration as finished:
                del path[current]
                answer = finished.value
            except Exception as error:
                del path[current]
                if not path:
                    raise
                answer = error
            else:
                answer = None
                if wanted in self.verdicts:
                    answer = self.verdicts[wanted]
                elif wanted in path:
                    answer = self._cycle(wanted, list(path))
                else:
                    path[wanted] = self._node(wanted)
        assert isinstance(answer, tuple)
        return answer

    def _node(self, node_id: str) -> Generator[str, Any, Verdict]:
        node = self.prompt[node_id]
        definition = self.read(node["class_type"])
        inputs = node["inputs"]
        custom = _CustomCheck(definition)
        problems: list[Problem] = []
        upstream_valid = True
        received: dict[str, Any] = {}
        for name, declared in definition.given(inputs).items():
            if name not in inputs:
                if declared.required:
                    extra = {"input_name": name}
                    problems.append(_problem("required_input_missing", "Required input is missing", name, extra))
                continue
            value = inputs[name]
            if not isinstance(value, list):
                problem = _check_value(inputs, declared, unchecked=custom.covers(name))
                if problem is not None:
                    problems.append(problem)
                continue
            if len(value) != 2:
                problems.append(
                    _input_problem(
                        "bad_linked_input",
                        "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                        declared,
                        received_value=value,
                    )
                )
                continue
            source, slot = value
            received[name] = self._type_of(source, slot)
            if not custom.checks_types and not types_match(received[name], declared.type):
                details = f"{name}, received_type({received[name]}) mismatch input_type({declared.type})"
                message = "Return type mismatch between linked nodes"
                problem = _input_problem(
                    "return_type_mismatch",
                    message,
                    declared,
                    details,
                    received_type=received[name],
                    linked_node=value,
                )
                problems.append(problem)
                continue
            try:
                valid, _ = yield source
            except Exception as error:  # the source's declarations or validator raised
                self.verdicts[source] = (False, [_inner_problem(error, declared, value, self.redact(str(error)))])
                valid = False
            upstream_valid = upstream_valid and valid
        problems += custom.run(inputs, node_id, received)
        # a cycle found on the way has already left a verdict on this node
        valid, known = self.verdicts.get(node_id, (True, []))
        verdict = (valid and upstream_valid and not problems, known + [p for p in problems if p not in known])
        self.verdicts[node_id] = verdict
        return verdict

    def _type_of(self, source: Any, slot: Any) -> Any:
        returns = self.read(self.prompt[source]["class_type"]).returns
        if not isinstance(slot, int) or isinstance(slot, bool) or not 0 <= slot < len(returns):
            raise IndexError(f"node {source} has no output {slot}")
        return returns[slot]

    def _cycle(self, node_id: str, path: list[str]) -> Verdict:
        members = path[path.index(node_id) :]
        shown = [*members, node_id] if len(members) <= 20 else [*members[:20], "...", node_id]
        details = " -> ".join(
            f"{member} ({self.prompt[member]['class_type']})" if member in self.prompt else member for member in shown
        )
        for member in members:
            extra = {"node_id": member, "cycle_nodes": members[:100]}
            self.verdicts[member] = (
                False,
                [_problem("dependency_cycle", "Dependency cycle detected", details, extra)],
            )
        return self.verdicts[node_id]


class _CustomCheck:
    """A node's own `VALIDATE_INPUTS`. Inputs that its signature names are its business alone."""

    def __init__(self, definition: NodeDef) -> None:
        self.definition = definition
        self.function = getattr(definition.cls, "VALIDATE_INPUTS", None)
        self.names: list[str] = []
        self.takes_all = False
        if self.function is not None:
            signature = inspect.getfullargspec(self.function)
            self.names = signature.args
            self.takes_all = signature.varkw is not None

    @property
    def checks_types(self) -> bool:
        return "input_types" in self.names

    def covers(self, name: str) -> bool:
        return self.takes_all or name in self.names

    def run(self, inputs: dict[str, Any], node_id: str, received: dict[str, Any]) -> list[Problem]:
        if self.function is None:
            return []
        lists = input_lists(inputs, self.definition, node_id)
        wanted = {name: values for name, values in lists.items() if self.covers(name)}
        if self.checks_types:
            wanted["input_types"] = [received]
        calls = map_over_lists(self.function, wanted, self.definition)
        answers = [asyncio.run(call) if inspect.iscoroutine(call) else call for call in calls]
        problems = []
        for name in wanted:
            for answer in answers:
                if answer is not True:
                    details = name if answer is False else f"{name} - {answer}"
                    extra = {"input_name": name}
                    message = "Custom validation failed for node"
                    problems.append(_problem("custom_validation_failed", message, details, extra))
        return problems


def _check_value(inputs: dict[str, Any], declared: Input, unchecked: bool) -> Problem | None:
    """Converts a literal in place and checks range and choice, unless the node does the latter itself."""
    name = declared.name
    value = inputs[name]
    try:
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[name] = value["__value__"]
        value = literal(value, declared.type, declared.options)
        value = inputs[name] = chosen(value, declared.choices)
    except Exception as error:  # int(), float() and str() raise what they like
        return _input_problem(
            "invalid_input_type",
            f"Failed to convert an input value to a {declared.type} value",
            declared,
            f"{name}, {value}, {error}",
            received_value=value,
            exception_message=str(error),
        )
    if unchecked:
        return None
    low, high = declared.options.get("min"), declared.options.get("max")
    if low is not None and value < low:
        message = f"Value {value} smaller than min of {low}"
        return _input_problem("value_smaller_than_min", message, declared, received_value=value)
    if high is not None and value > high:
        message = f"Value {value} bigger than max of {high}"
        return _input_problem("value_bigger_than_max", message, declared, received_value=value)
    return _check_choice(declared, value)


def _check_choice(declared: Input, value: Any) -> Problem | None:
    choices = declared.choices
    if choices is None:
        return None
    chosen = value if declared.options.get("multiselect") and isinstance(value, list) else [value]
    wrong = [item for item in chosen if item not in choices]
    if not wrong:
        return None
    many = len(choices) > 20
    listing = f"(list of length {len(choices)})" if many else str(choices)
    return _problem(
        "value_not_in_list",
        "Value not in list",
        f"{declared.name}: {', '.join(repr(item) for item in wrong)} not in {listing}",
        {
            "input_name": declared.name,
            "input_config": None if many else declared.config,
            "received_value": value,
        },
    )


def types_match(received: Any, wanted: Any) -> bool:
    """Whether an output of type `received` may feed an input of type `wanted`. Types are `"A,B"` unions or `"*"`."""
    if not received != wanted:  # noqa: SIM202 - packs have types that override `__ne__` to match everything
        return True
    if isinstance(received, list | tuple) and wanted == "COMBO":
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return "*" in (received, wanted)
    offered = {part.strip() for part in received.split(",")}
    accepted = {part.strip() for part in wanted.split(",")}
    return "*" in offered | accepted or bool(offered & accepted)


def _problem(kind: str, message: str, details: str, extra: dict[str, Any]) -> Problem:
    return {"type": kind, "message": message, "details": details, "extra_info": clean(extra)}


def _input_problem(kind: str, message: str, declared: Input, details: str | None = None, **extra: Any) -> Problem:
    about = {"input_name": declared.name, "input_config": declared.config, **extra}
    return _problem(kind, message, declared.name if details is None else details, about)


def _inner_problem(error: Exception, declared: Input, link: list[Any], text: str) -> Problem:
    return _input_problem(
        "exception_during_inner_validation",
        "Exception when validating inner node",
        declared,
        text,
        exception_message=text,
        exception_type=type_name(error),
        traceback=where(error),
        linked_node=link,
    )


def type_name(error: BaseException) -> str:
    """The exception's class as ComfyUI prints it: with its module, unless built in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def where(error: BaseException) -> list[str]:
    """The frames of the traceback without their folders, which are nobody else's business."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f'  File "{"/".join(_tail(frame.filename))}", line {frame.lineno}, in {frame.name}\n' for frame in frames]


def _tail(filename: str) -> list[str]:
    return filename.replace("\\", "/").split("/")[-2:]
