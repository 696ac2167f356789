"""Jobs as `/api/jobs` describes them: one shape for what waits, runs and has ended."""

from __future__ import annotations

from typing import Any

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.wire import clean
from acestep_core.host.queue.job import Job, Outcome

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
SHOWABLE = ("images", "video", "audio", "3d", "text")
"""Kinds of output that the frontend can show as a job's picture."""

MAX_TEXT = 1024
"""Characters of a text output that a job's preview carries."""


def waiting(job: Job, status: str) -> dict[str, Any]:
    """A job that is `pending` or `in_progress`."""
    return _without_none(
        {
            "id": job.id,
            "status": status,
            "priority": job.number,
            "create_time": job.extra.get("create_time"),
            "outputs_count": 0,
            "workflow_id": _workflow_id(job),
        }
    )


def ended(job: Job, outcome: Outcome) -> dict[str, Any]:
    """A job that is `completed`, `failed` or `cancelled`."""
    last_event, last = outcome.messages[-1] if outcome.messages else ("", {})
    first = outcome.messages[0][1] if outcome.messages else {}
    count, preview = _outputs(outcome.outputs)
    status = "completed"
    if not outcome.success:
        status = "cancelled" if last_event == "execution_interrupted" else "failed"
    return _without_none(
        {
            "id": job.id,
            "status": status,
            "priority": job.number,
            "create_time": job.extra.get("create_time"),
            "execution_start_time": first.get("timestamp"),
            "execution_end_time": last.get("timestamp"),
            "execution_error": clean(last) if last_event == "execution_error" else None,
            "outputs_count": count,
            "preview_output": preview,
            "workflow_id": _workflow_id(job),
        }
    )


def detailed(summary: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """A job with what its history entry knows: everything needed to show its results and to load its workflow."""
    _, _, prompt, extra, _ = entry["prompt"]
    return {
        **summary,
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": {"prompt": prompt, "extra_data": extra},
    }


def listing(everything: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """The answer to `/api/jobs`: filtered, sorted, paged.

    Raises:
        InvalidInput: a query parameter makes no sense.
    """
    wanted = [part.strip().lower() for part in query.get("status", "").split(",") if part.strip()] or list(STATUSES)
    unknown = [status for status in wanted if status not in STATUSES]
    if unknown:
        raise InvalidInput(f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}")
    sort_by = query.get("sort_by", "created_at").lower()
    order = query.get("sort_order", "desc").lower()
    if sort_by not in ("created_at", "execution_duration"):
        raise InvalidInput("sort_by must be 'created_at' or 'execution_duration'")
    if order not in ("asc", "desc"):
        raise InvalidInput("sort_order must be 'asc' or 'desc'")
    limit = _integer(query, "limit")
    if limit is not None and limit <= 0:
        raise InvalidInput("limit must be a positive integer")
    offset = max(0, _integer(query, "offset") or 0)
    workflow = query.get("workflow_id")
    jobs = [job for job in everything if job["status"] in wanted]
    if workflow:
        jobs = [job for job in jobs if job.get("workflow_id") == workflow]
    jobs.sort(key=_duration if sort_by == "execution_duration" else _created, reverse=order == "desc")
    page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
    more = offset + len(page) < len(jobs)
    # the frontend insists on a number for the limit
    pages = {"offset": offset, "limit": limit or len(jobs), "total": len(jobs), "has_more": more}
    return {"jobs": page, "pagination": pages}


def _created(job: dict[str, Any]) -> float:
    return job.get("create_time") or 0


def _duration(job: dict[str, Any]) -> float:
    start, end = job.get("execution_start_time"), job.get("execution_end_time")
    return end - start if start and end else 0


def _integer(query: dict[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError as error:
        raise InvalidInput(f"{name} must be an integer") from error


def _workflow_id(job: Job) -> Any:
    info = job.extra.get("extra_pnginfo")
    workflow = info.get("workflow") if isinstance(info, dict) else None
    return workflow.get("id") if isinstance(workflow, dict) else None


def _outputs(outputs: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """How many results there are, and the one to show: a saved file if there is one, else anything showable."""
    count = 0
    saved = other = None
    for node_id, shown in outputs.items():
        for kind, items in shown.items():
            if kind == "animated" or not isinstance(items, list):
                continue
            for item in items:
                about = _shown(kind, item)
                if about is None:
                    continue
                count += 1
                about = {**about, "nodeId": node_id}
                about.setdefault("mediaType", kind)
                if not _showable(kind, item):
                    continue
                if about.get("type") == "output":
                    saved = saved or about
                else:
                    other = other or about
    return count, clean(saved or other)


def _shown(kind: str, item: Any) -> dict[str, Any] | None:
    if isinstance(item, dict):
        return item
    if kind != "text" or item is None:
        return None
    text = str(item)
    return {"content": text[:MAX_TEXT], "truncated": True} if len(text) > MAX_TEXT else {"content": text}


def _showable(kind: str, item: Any) -> bool:
    mime = str(item.get("format", "")) if isinstance(item, dict) else ""
    return kind in SHOWABLE or mime.startswith(("audio/", "video/"))


def _without_none(job: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if value is not None}
