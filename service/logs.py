"""Logs: one JSON object a line on standard error, the framework's lines among them.

Not all that a process prints comes from a logger: C libraries (libtiff on a damaged file) and the
interpreter itself (a crash) write to file descriptor 2. In a worker that descriptor is a pipe to
the supervising process, which logs each line. What a worker wrote before it died is in the pipe
already, so a crash is reported too.
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
    """Format an exception and its causes with the message of our own errors only.

    Any other message may quote the file that was read, and with it a patient's name. Whoever knows
    that a message does not writes it into the line of the log.
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
    """Log as JSON, and log what workers that are started from now on print on standard error.

    A second call changes nothing.
    """
    if _PIPE in os.environ:
        return
    _log_as_json()
    folder = tempfile.mkdtemp(prefix="cxr-stderr-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    pipe = Path(folder) / "pipe"
    os.mkfifo(pipe, 0o600)
    # For writing too: it does not end when the last worker does.
    lines = os.fdopen(os.open(pipe, os.O_RDWR), "rb")
    os.environ[_PIPE] = str(pipe)
    threading.Thread(target=_log_lines, args=(lines,), name="stderr", daemon=True).start()


def log_as_worker() -> None:
    """Log as JSON, and hand what else is printed on standard error to the supervising process.

    Without a supervising process, in a test or under another server, it is printed as it is.
    """
    _log_as_json()
    pipe = os.environ.get(_PIPE)
    if pipe is not None:
        # Not blocking: a line that finds the pipe full is dropped, and nobody waits to print it.
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.dup2(descriptor, _STDERR)
        os.close(descriptor)


def _log_lines(lines: BinaryIO) -> None:
    log = logging.getLogger("cxr.stderr")
    while line := lines.readline(_LONGEST_LINE):
        if text := line.decode(errors="replace").rstrip():
            log.warning(text)


def _log_as_json() -> None:
    """Have all loggers, warnings and uncaught exceptions of this process write JSON, once."""
    # A descriptor of its own, which stays what it is when standard error becomes the pipe; and not
    # buffered, so that a line is one write and lines of several processes do not mix.
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
    """Log a warning by its place in the code; its text may quote the file that was read."""
    log = logging.getLogger("cxr.warnings")
    log.warning("%s", category.__name__, extra={"place": f"{filename}:{lineno}"})


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Log what ends the program; its main thread reads no image, so the message is safe."""
    if not issubclass(kind, Exception):  # Ctrl-C
        sys.__excepthook__(kind, error, trace)
        return
    log = logging.getLogger("cxr.uncaught")
    log.critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is None or isinstance(uncaught.exc_value, SystemExit):
        return
    log = logging.getLogger("cxr.uncaught")
    log.critical("a thread ended by an exception", exc_info=uncaught.exc_value)


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    log = logging.getLogger("cxr.uncaught")
    log.error("an exception that nobody could catch", exc_info=unraisable.exc_value)
