"""STOW-RS, and what the node says of itself over HTTP: probes, metrics, the queue by counts."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service.http.middleware.api_keys import ApiKeys
from service.media_types import DICOM
from service.multipart_related import MULTIPART_RELATED, Part, read_parts
from service.node.audit import MINOR, SUCCESS, audit
from service.node.config import NodeConfig
from service.node.intake import NO_RESOURCES, Intake, Status
from service.node.metrics import REJECTED, exposition
from service.node.queue import Queue

JSON_TYPES = ("application/dicom+json", "application/json", "application/*", "*/*")
_CANNOT_UNDERSTAND = 0xC000
_OTHER_STUDY = 0xC122
_PREFIX_AND_LENGTH = 128 + 4 + 12
"""Bytes before the file meta information whose length the group length says (PS3.10, 7.1)."""
_CONTENT_TYPE = f'Send multipart/related; type="{DICOM}".'


def application(config: NodeConfig, queue: Queue, intake: Intake) -> Starlette:
    """The node's HTTP server."""
    service = _Dicomweb(config, queue, intake)
    return Starlette(
        routes=[
            Route("/dicomweb/studies", service.store, methods=["POST"]),
            Route("/dicomweb/studies/{study}", service.store, methods=["POST"]),
            Route("/livez", _alive),
            Route("/readyz", service.ready),
            Route("/metrics", service.metrics),
            Route("/queue.json", service.counts),
            Route("/", service.page),
        ]
    )


async def _alive(_request: Request) -> Response:
    return PlainTextResponse("alive\n")


class _Dicomweb:
    def __init__(self, config: NodeConfig, queue: Queue, intake: Intake) -> None:
        self._config = config
        self._queue = queue
        self._intake = intake
        file: Path | None = config.node.stow_keys_file
        self._keys = ApiKeys(file) if file else None

    async def store(self, request: Request) -> Response:
        """Store instances (PS3.18, 10.5)."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return _problem(400, "The connection was closed before all of it was sent.")
        if body is None:
            return _problem(413, f"The body is larger than {self._config.node.max_bytes} bytes.")
        try:
            parts = read_parts(body, request.headers.get("content-type", ""))
        except ValueError as error:
            return _problem(400, f"The body cannot be read: {error}.")
        if not parts:
            return _problem(400, "The body has no parts.")
        study = request.path_params.get("study")
        return await run_in_threadpool(self._store, request, parts, study)

    def _refusal(self, request: Request) -> Response | None:
        host = request.client.host if request.client else ""
        if not any(each.matches_host(host) for each in self._config.accept):
            REJECTED.labels("host").inc()
            return _problem(403, "This host is not on the list of senders.")
        if self._keys is not None:
            self._keys.refresh()
            bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not self._keys.accepts(request.headers.get("x-api-key") or bearer):
                REJECTED.labels("key").inc()
                answer = _problem(401, "Send a known API key.")
                answer.headers["WWW-Authenticate"] = "Bearer"
                return answer
        if request.headers.get("content-type", "").split(";")[0].lower() != MULTIPART_RELATED:
            return _problem(415, _CONTENT_TYPE)
        accepted = request.headers.get("accept", "*/*").lower().split(",")
        if not any(each.split(";")[0].strip() in JSON_TYPES for each in accepted):
            return _problem(406, "The answer is application/dicom+json.")
        if (full := self._intake.check_room()) is not None:
            answer = _problem(503, f"{full.comment}.")
            answer.headers["Retry-After"] = "30"
            return answer
        return None

    async def _body(self, request: Request) -> bytes | None:
        """The body; None where it is larger than one may be."""
        limit = self._config.node.max_bytes
        body = bytearray()
        async for chunk in request.stream():
            if len(body) + len(chunk) > limit:
                return None
            body += chunk
        return bytes(body)

    def _store(self, request: Request, parts: list[Part], study: str | None) -> Response:
        stored: list[Dataset] = []
        failed: list[Dataset] = []
        for part in parts:
            status, reference = self._take(part, study)
            if status.code:
                reference.FailureReason = status.code
                failed.append(reference)
            else:
                stored.append(reference)
        answer = Dataset()
        answer.RetrieveURL = ""
        if stored:
            answer.ReferencedSOPSequence = stored
        if failed:
            answer.FailedSOPSequence = failed
        audit(
            "DICOM Instances Transferred",
            source=f"STOW-RS {request.client.host if request.client else ''}",
            destination=self._config.node.ae_title,
            outcome=MINOR if failed else SUCCESS,
            objects=len(stored),
            why=f"{len(failed)} were not taken" if failed else "",
        )
        code = 200 if not failed else 202 if stored else 409
        if not stored and all(each.FailureReason == NO_RESOURCES for each in failed):
            code = 503
        return JSONResponse(
            answer.to_json_dict(), status_code=code, media_type="application/dicom+json"
        )

    def _take(self, part: Part, study: str | None) -> tuple[Status, Dataset]:
        """Take one part; what it is called is read from it, nothing else."""
        reference = Dataset()
        reference.ReferencedSOPClassUID = reference.ReferencedSOPInstanceUID = ""
        if part.media_type != DICOM:
            return Status("other", _CANNOT_UNDERSTAND), reference
        try:
            header = pydicom.dcmread(
                io.BytesIO(part.content),
                stop_before_pixels=True,
                specific_tags=["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"],
            )
            start = _PREFIX_AND_LENGTH + int(header.file_meta.FileMetaInformationGroupLength)
            reference.ReferencedSOPClassUID = str(header.SOPClassUID)
            reference.ReferencedSOPInstanceUID = str(header.SOPInstanceUID)
            if study is not None and str(header.StudyInstanceUID) != study:
                return Status("other", _OTHER_STUDY), reference
        except Exception:  # whatever a file from outside brings pydicom to raise
            return Status("other", _CANNOT_UNDERSTAND), reference
        sop_class, instance = str(header.SOPClassUID), str(header.SOPInstanceUID)
        return (
            self._intake.take(sop_class, instance, part.content[start:], part.content),
            reference,
        )

    async def ready(self, _request: Request) -> Response:
        """Whether images are taken at present."""
        full = await run_in_threadpool(self._intake.check_room)
        if full is not None:
            return PlainTextResponse(f"{full.comment}\n", status_code=503)
        return PlainTextResponse("ready\n")

    async def metrics(self, _request: Request) -> Response:
        text = await run_in_threadpool(exposition, self._queue)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def counts(self, _request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(queue_counts, self._queue))

    async def page(self, _request: Request) -> Response:
        return HTMLResponse(_page(await run_in_threadpool(queue_counts, self._queue)))


def queue_counts(queue: Queue) -> dict[str, Any]:
    """The queue in numbers, without anything of a patient."""
    destinations: dict[str, dict[str, int]] = {}
    for (name, state), count in queue.delivery_counts().items():
        destinations.setdefault(name, {})[state] = count
    return {
        "instances": queue.counts(),
        "destinations": destinations,
        "oldest_seconds": {stage: round(age, 1) for stage, age in queue.oldest().items()},
        "free_bytes": queue.free_bytes(),
    }


def _page(counts: dict[str, Any]) -> str:
    rows = [("instances", state, count) for state, count in sorted(counts["instances"].items())]
    for name, states in sorted(counts["destinations"].items()):
        rows += [(name, state, count) for state, count in sorted(states.items())]
    rows += [("oldest, seconds", stage, age) for stage, age in counts["oldest_seconds"].items()]
    cells = "".join(
        f"<tr><td>{html.escape(str(a))}</td><td>{html.escape(str(b))}</td><td>{c}</td></tr>"
        for a, b, c in rows
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>cxr node</title>'
        '<meta http-equiv="refresh" content="5"><h1>Queue of the DICOM node</h1>'
        "<table><thead><tr><th>where</th><th>state</th><th>number</th></tr></thead>"
        f"<tbody>{cells}</tbody></table></html>"
    )


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message}}, status_code=status)
