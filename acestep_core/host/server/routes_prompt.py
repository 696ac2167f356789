"""Queueing prompts and everything about what was queued: `/prompt`, `/queue`, `/history`, `/jobs`, `/interrupt`."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from acestep_core.errors import HostError, InvalidInput
from acestep_core.host.graph.wire import dumps
from acestep_core.host.queue import jobs
from acestep_core.host.queue.job import Job
from acestep_core.host.server.host import Host, new_id
from acestep_core.host.server.requests import bad_request, error_text, read_json, read_object, strings

SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")
"""Parts of `extra_data` that are dropped: no node here uses them, and they would end up in history."""


def routes(host: Host) -> list[web.RouteDef]:
    limit = host.config.max_json

    async def websocket(request: web.Request) -> web.StreamResponse:
        greeting: list[tuple[str, dict[str, Any]]] = [("status", {"status": host.status()})]
        node = host.engine.node_of(request.query.get("clientId", ""))
        if node is not None:
            greeting.append(("executing", node))
        return await host.hub.serve(request, greeting)

    async def post_prompt(request: web.Request) -> web.Response:
        body = await read_object(request, limit)
        number = _number(body, host)
        if "prompt" not in body:
            raise bad_request("no_prompt", "No prompt provided", "No prompt provided")
        targets = body.get("partial_execution_targets")
        if targets is not None:
            targets = strings(targets, "partial_execution_targets")
        extra, client = _extra(body)
        report = await host.check(body["prompt"], targets)
        if report.error is not None:
            return _json({"error": report.error, "node_errors": report.node_errors}, status=400)
        extra["create_time"] = int(time.time() * 1000)
        job_id = _job_id(body)
        job = Job(number, job_id, body["prompt"], tuple(report.outputs), extra, client)
        try:
            host.enqueue(job)
        except HostError as error:
            return web.json_response(text=error_text("queue_refused", str(error)), status=429)
        return _json({"prompt_id": job_id, "number": number, "node_errors": report.node_errors})

    async def get_prompt(request: web.Request) -> web.Response:
        return _json(host.status())

    async def get_queue(request: web.Request) -> web.Response:
        running, pending = host.queue.listing()
        texts = [", ".join(ticket.text for ticket in tickets) for tickets in (running, pending)]
        return web.json_response(text=f'{{"queue_running": [{texts[0]}], "queue_pending": [{texts[1]}]}}')

    async def post_queue(request: web.Request) -> web.Response:
        body = await read_object(request, limit)
        if body.get("clear"):
            host.queue.clear()
        for job_id in strings(body.get("delete", []), "delete"):
            host.queue.delete(job_id)
        return web.Response()

    async def interrupt(request: web.Request) -> web.Response:
        body = await read_object(request, limit, {})
        host.queue.interrupt(body.get("prompt_id") or None)
        return web.Response()

    async def free(request: web.Request) -> web.Response:
        body = await read_object(request, limit, {})
        host.queue.ask(bool(body.get("unload_models")), bool(body.get("free_memory")))
        return web.Response()

    async def get_history(request: web.Request) -> web.Response:
        max_items, offset = _integer(request, "max_items"), _integer(request, "offset")
        return web.json_response(text=host.history.text(None, max_items, -1 if offset is None else offset))

    async def get_history_of(request: web.Request) -> web.Response:
        return web.json_response(text=host.history.text(request.match_info["prompt_id"]))

    async def post_history(request: web.Request) -> web.Response:
        body = await read_object(request, limit)
        if body.get("clear"):
            host.history.clear()
        for job_id in strings(body.get("delete", []), "delete"):
            host.history.delete(job_id)
        return web.Response()

    async def get_jobs(request: web.Request) -> web.Response:
        try:
            return _json(jobs.listing(host.jobs(), dict(request.query)))
        except InvalidInput as error:
            return _json({"error": str(error)}, status=400)

    async def get_job(request: web.Request) -> web.Response:
        job = host.job(request.match_info["job_id"])
        return _json({"error": "Job not found"}, status=404) if job is None else _json(job)

    async def cancel_job(request: web.Request) -> web.Response:
        return _json({"cancelled": host.cancel(request.match_info["job_id"])})

    async def cancel_jobs(request: web.Request) -> web.Response:
        body = await read_json(request, limit)
        wanted = strings(body.get("job_ids") if isinstance(body, dict) else None, "job_ids")
        cancelled = [job_id for job_id in wanted if host.cancel(job_id)]
        return _json({"cancelled": bool(cancelled)})

    return [
        web.get("/ws", websocket),
        web.post("/prompt", post_prompt),
        web.get("/prompt", get_prompt),
        web.get("/queue", get_queue),
        web.post("/queue", post_queue),
        web.post("/interrupt", interrupt),
        web.post("/free", free),
        web.get("/history", get_history),
        web.get("/history/{prompt_id}", get_history_of),
        web.post("/history", post_history),
        web.get("/jobs", get_jobs),
        web.post("/jobs/cancel", cancel_jobs),
        web.get("/jobs/{job_id}", get_job),
        web.post("/jobs/{job_id}/cancel", cancel_job),
    ]


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(text=dumps(value), status=status)


def _number(body: dict[str, Any], host: Host) -> float:
    if "number" not in body:
        return host.next_number(bool(body.get("front")))
    number = body["number"]
    if isinstance(number, bool) or not isinstance(number, int | float) or abs(number) > 2**53:
        raise bad_request("invalid_request", "number must be a number.")
    return float(number)


def _extra(body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    extra = body.get("extra_data")
    extra = {} if extra is None else extra
    if not isinstance(extra, dict):
        raise bad_request("invalid_request", "extra_data must be an object.")
    extra = {key: value for key, value in extra.items() if key not in SECRETS}
    client = body.get("client_id", extra.get("client_id"))
    if client is None:
        return extra, None
    if not isinstance(client, str) or len(client) > 256:
        raise bad_request("invalid_request", "client_id must be a short string.")
    return {**extra, "client_id": client}, client


def _job_id(body: dict[str, Any]) -> str:
    job_id = body.get("prompt_id")
    if job_id is None:
        return new_id()
    if not isinstance(job_id, str) or not 0 < len(job_id) <= 128:
        raise bad_request("invalid_request", "prompt_id must be a short string.")
    return job_id


def _integer(request: web.Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise bad_request("invalid_request", f"{name} must be an integer.") from None
