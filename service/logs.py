"""Logs: one JSON object a line on standard error, the framework's lines among them.

C libraries (libtiff on a damaged file) and the interpreter (on a crash) write plain text to file
descriptor 2. In a worker that descriptor is a pipe to the supervising process, which logs each line
as JSON. The pipe outlives a worker that crashes, and so does what it printed.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import shutil
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TextIO

from pythonjsonlogger.json import JsonFormatter

from service.errors import CxrError

# The framework gives the last two handlers of their own, which write plain text.
_LOGGERS = ("cxr", "bentoml", "uvicorn", "uvicorn.error", "circus")

_PIPE = "CXR_STDERR_PIPE"
"""Environment variable with the path of the pipe, set by the supervising process."""

_STDERR = 2
"""File descriptor of standard error, to which C libraries print."""

_LONGEST_LINE = 64 << 10
"""Bytes of a plain line at the most; what is longer is logged in pieces."""


class _Formatter(JsonFormatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        return moment.isoformat(timespec="milliseconds")

    def formatException(  # noqa: N802
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        return "" if ei[1] is None else "".join(_traceback(ei[1]))


def _traceback(error: BaseException) -> Iterator[str]:
    """Format an exception and its causes, with messages of this project's own errors only.

    Any other message may quote the file that was read, and with it a patient's name. Code that
    knows a message to be safe logs it itself.
    """
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _traceback(cause)
        yield "\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    yield f"{name}: {error.message}\n" if isinstance(error, CxrError) else f"{name}\n"


def log_as_supervisor() -> None:
    """Log as JSON in this process, and log what its workers print on standard error.

    To be called before the workers are started; a second call changes nothing.
    """
    if _PIPE in os.environ:
        return
    _log_as_json()
    folder = tempfile.mkdtemp(prefix="cxr-stderr-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    pipe = Path(folder) / "pipe"
    os.mkfifo(pipe, 0o600)
    # Open for writing as well, or reading would end with the last worker.
    lines = os.fdopen(os.open(pipe, os.O_RDWR), "rb")
    os.environ[_PIPE] = str(pipe)
    threading.Thread(target=_log_lines, args=(lines,), name="stderr", daemon=True).start()


def log_as_worker() -> None:
    """Log as JSON in this process, and send all other output on standard error to the supervisor.

    Without a supervisor, in a test or under another server, that output stays as it is.
    """
    _log_as_json()
    pipe = os.environ.get(_PIPE)
    if pipe is not None:
        # Non-blocking: where the pipe is full a line is lost, and no thread waits to print it.
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.dup2(descriptor, _STDERR)
        os.close(descriptor)


def _log_lines(lines: BinaryIO) -> None:
    log = logging.getLogger("cxr.stderr")
    while line := lines.readline(_LONGEST_LINE):
        if text := line.decode(errors="replace").rstrip():
            log.warning(text)


def _log_as_json() -> None:
    """Have all loggers, warnings and uncaught exceptions of this process write JSON."""
    # A duplicate, which still is standard error when descriptor 2 has become the pipe. Unbuffered:
    # a line is one write, so that lines of several processes do not mix.
    stream = io.TextIOWrapper(os.fdopen(os.dup(_STDERR), "wb", 0), "utf-8", write_through=True)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _Formatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
                "exc_info": "traceback",
            },
        )
    )
    for name in ("", *_LOGGERS):
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
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning's class and place in the code; its text may quote the file that was read."""
    log = logging.getLogger("cxr.warnings")
    log.warning("%s", category.__name__, extra={"place": f"{filename}:{lineno}"})


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Log the exception that ends the program.

    The main thread decodes no image, so the message quotes none.
    """
    if not issubclass(kind, Exception):  # Ctrl-C
        sys.__excepthook__(kind, error, trace)
        return
    log = logging.getLogger("cxr.uncaught")
    log.critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is None or isinstance(uncaught.exc_value, SystemExit):
        return
    log = logging.getLogger("cxr.uncaught")
    log.critical("uncaught exception in a thread", exc_info=uncaught.exc_value)


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    log = logging.getLogger("cxr.uncaught")
    log.error("exception that could not be raised", exc_info=unraisable.exc_value)
