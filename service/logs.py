"""Logs: one JSON object a line on standard error, the framework's lines among them."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from pythonjsonlogger.json import JsonFormatter

# The framework gives the last two handlers of their own, which write plain text.
_OURS = ("cxr", "bentoml", "uvicorn", "uvicorn.error", "circus")


class _Formatter(JsonFormatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        return moment.isoformat(timespec="milliseconds")


def log_as_json() -> None:
    """Have this project's and the framework's loggers write JSON; nothing is written twice."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Formatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    for name in ("", *_OURS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger("cxr").setLevel(logging.INFO)
    # What a line does not say is not looked for (logging HOWTO, "Optimization"): where in the code
    # it was written, and by which thread and process.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # One line a request is ours. With nobody to hand its own lines to, the server composes none.
    logging.getLogger("uvicorn.access").propagate = False
    # It writes bytes of what was sent; the caller is told the reason anyway.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
