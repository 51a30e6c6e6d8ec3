"""Starts the receiving and the working process, and starts again the one that ends."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

log = logging.getLogger("cxr.node")

PARTS = ("receiver", "worker")
_STABLE_SECONDS = 10.0


class Supervisor:
    """Keeps both parts of the node running.

    Args:
        file: The configuration.
        drain_seconds: That the parts have to end in.
    """

    def __init__(self, file: Path, drain_seconds: float) -> None:
        self._file = file
        self._drain_seconds = drain_seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopped.set())
        threads = [threading.Thread(target=self._keep, args=(part,)) for part in PARTS]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def _keep(self, part: str) -> None:
        failures = 0
        while not self._stopped.is_set():
            started = time.monotonic()
            process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-m", "service.node.process", part, str(self._file)],
                stdin=subprocess.PIPE,
            )
            log.info("a part of the node was started", extra={"part": part, "pid": process.pid})
            while process.poll() is None and not self._stopped.wait(0.1):
                pass
            if self._stopped.is_set():
                self._end(process)
                return
            failures = 0 if time.monotonic() - started > _STABLE_SECONDS else failures + 1
            log.error("a part of the node ended", extra={"part": part, "code": process.returncode})
            self._stopped.wait(min(0.2 * 2 ** min(failures, 6), 10.0))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(self._drain_seconds + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
