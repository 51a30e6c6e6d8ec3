"""The shadow's network, in a process of its own that the kernel runs where no other wants to.

In a process of the service's it would hold the interpreter's lock while every other thread is in
front of it, and the event loop would wait for both. What becomes of this process, the service does
not notice: pixels come on standard input, logits go out on standard output, and it ends with its
input.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO, cast

import numpy as np

from service.errors import SettingRefused
from service.logs import log_as_worker
from service.network.bundle import OUTPUTS, open_bundle
from service.network.runtime import Runtime
from service.radiograph.preprocess import INPUT_SIDE
from service.serving.process_priority import use_idle_scheduling
from service.settings import bundle_folder, read_settings

_SHAPE = (1, INPUT_SIDE, INPUT_SIDE)
_FLOAT = np.dtype("<f4")
_PIXELS = math.prod(_SHAPE) * _FLOAT.itemsize
_LOGITS = OUTPUTS * _FLOAT.itemsize
_LONGEST_PAUSE = 64.0
"""Seconds until a process that ends again and again is started anew, at the most."""

log = logging.getLogger("cxr.shadow")


class ShadowProcess:
    """Runs the second bundle that the environment's settings name."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._pause = 0.0
        self._not_before = 0.0

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Score float32 (1, 224, 224) in [0, 1]; float32 (18,).

        Raises:
            ChildProcessError: The process has ended; it is started again after a while.
        """
        with self._lock:
            process = self._process or self._start()
            to, back = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
            answer = b""
            with suppress(OSError):  # it has ended
                to.write(pixels.astype(_FLOAT).tobytes())
                to.flush()
                answer = back.read(_LOGITS)
            if len(answer) < _LOGITS:
                raise ChildProcessError(f"The shadow's process ended ({self._reap(process)}).")
        self._pause = self._not_before = 0.0
        return np.frombuffer(answer, _FLOAT)

    def end(self) -> None:
        """Kill it; whoever waits for its answer is told."""
        self._not_before = math.inf
        if (process := self._process) is not None:
            process.kill()
            with self._lock:
                self._reap(process)

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        """Take leave of a process that has ended; its exit status."""
        self._process = None
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was still to be written
                cast(BinaryIO, pipe).close()
        return process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start it, the first time at once and then after ever longer pauses.

        Raises:
            ChildProcessError: It ended a moment ago.
        """
        if time.monotonic() < self._not_before:
            raise ChildProcessError("The shadow's process has ended and is started again later.")
        self._pause = min(max(1.0, 2 * self._pause), _LONGEST_PAUSE)
        self._not_before = time.monotonic() + self._pause
        # In the session of this process: another would be a group of its own to the scheduler.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service.serving.shadow_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self._process


def answer(runtime: Runtime, pixels: BinaryIO, logits: BinaryIO) -> None:
    """Answer images until there are no more; with what is no number where the network fails."""
    while len(data := pixels.read(_PIXELS)) == _PIXELS:
        image = np.frombuffer(data, _FLOAT).reshape(1, *_SHAPE)
        try:
            found = runtime.low_latency.run(image).logits[0]
        except Exception as error:  # a runtime sees pixels only, so its message cannot quote more
            log.error("the shadow's network failed: %s", error)
            found = np.full(OUTPUTS, np.nan)
        logits.write(found.astype(_FLOAT).tobytes())
        logits.flush()


def main() -> None:
    """Load the bundle and answer what comes on standard input."""
    from service.serving.shadow import load_shadow

    logits = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no logit
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the service, which ends this
    use_idle_scheduling()
    log_as_worker()
    settings = read_settings()
    try:
        runtime = load_shadow(settings, open_bundle(bundle_folder(settings)).manifest)
    except SettingRefused as error:
        log.error("no shadow: %s", error)
        sys.exit(1)
    if runtime is not None:
        answer(runtime, sys.stdin.buffer, logits)


if __name__ == "__main__":
    main()
