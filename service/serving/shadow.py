"""The shadow: a second bundle that scores some of the images that were answered.

Its numbers stand beside those of the served bundle in the log of numbers, for `cxr watch --shadow`.
A thread hands one image after the other to the second network's process, and begins with one only
while the service has nothing in work. What waits too long, or finds no room, is counted and written
without a second number: the shadow never delays and never fails a request.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Protocol

import numpy as np

from service.errors import BundleRefused, SettingRefused
from service.metrics import SHADOW_IMAGES
from service.network.answer import Prediction
from service.network.bundle import Bundle, Manifest, open_bundle
from service.network.predictor import require_finite
from service.network.runtime import Runtime, open_runtime
from service.network.runtime.selection import select
from service.network.scores import findings
from service.radiograph.preprocess import pixel_digest
from service.radiograph.radiograph import Source
from service.serving.monitoring_log import MonitoringLog
from service.serving.monitoring_row import Value, row, shadow_values
from service.settings import Settings, shadow_folder

MOST_WAITING = 32
"""Images, of 200 kB each."""
LONGEST_WAIT = 20.0
"""Seconds that an image waits for the service to have nothing in work, at the most."""

_PAUSE = 0.02
"""Seconds between two looks at whether the service has anything in work. The thread is not woken
instead: it would begin the moment that an answer is done, and that one is then still to be sent."""

log = logging.getLogger("cxr.shadow")


class Network(Protocol):
    """Runs the second network."""

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Score float32 (1, 224, 224) in [0, 1]; float32 (18,)."""
        ...

    def end(self) -> None:
        """Stop; whoever waits for an answer is told."""
        ...


@dataclass(frozen=True)
class Compared:
    """What is compared.

    Attributes:
        manifest: Of the second bundle.
        labels: The findings that both bundles have.
    """

    manifest: Manifest
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """An answered image: its row, its pixels, and when it came on the monotonic clock."""

    values: tuple[Value, ...]
    pixels: np.ndarray
    since: float


class Shadow:
    """Scores a share of the images again and hands all rows to the log.

    Args:
        network: The second bundle's.
        compared: What it answers.
        share: In (0, 1], of the answered images.
        numbers: The log; its rows have room for the shadow's values.
    """

    def __init__(
        self, network: Network, compared: Compared, share: float, numbers: MonitoringLog
    ) -> None:
        self._network = network
        self._compared = compared
        self._share = share
        self._numbers = numbers
        self._queue: Queue[_Waiting] = Queue(MOST_WAITING)
        self._draw = random.Random()  # noqa: S311 - a sample, no secret
        self._busy: Callable[[], bool] = lambda: True
        self._closing = threading.Event()
        self._failing = False
        self._outcomes = {
            outcome: SHADOW_IMAGES.labels(outcome) for outcome in ("scored", "dropped", "failed")
        }
        # A daemon: a network that hangs must not keep the process from its end.
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)

    def start(self, busy: Callable[[], bool]) -> None:
        """Begin; `busy` says whether the service has anything in work."""
        self._busy = busy
        self._thread.start()

    def put(self, source: Source | None, answer: Prediction, pixels: np.ndarray) -> None:
        """Hand an answered image over; on the event loop."""
        values = row(time.time(), source, answer)
        if self._draw.random() >= self._share:
            self._numbers.add(values)
            return
        try:
            self._queue.put_nowait(_Waiting(values, pixels, time.monotonic()))
        except Full:
            self._let_go(values, "dropped")

    def close(self, seconds: float = 2.0) -> None:
        """Stop, and hand the rows of what waits to the log."""
        self._closing.set()
        self._network.end()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        while True:
            try:
                self._let_go(self._queue.get_nowait().values, "dropped")
            except Empty:
                return

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                waiting = self._queue.get(timeout=1.0)
            except Empty:
                continue
            if self._wait_for_room(waiting.since + LONGEST_WAIT):
                self._score(waiting)
            else:
                self._let_go(waiting.values, "dropped")

    def _wait_for_room(self, until: float) -> bool:
        """Wait until the service has nothing in work; False where the time is over first."""
        while self._busy():
            if time.monotonic() > until or self._closing.wait(_PAUSE):
                return False
        return True

    def _score(self, waiting: _Waiting) -> None:
        try:
            values = self._values(waiting.pixels)
        except Exception as error:  # whatever it is, the thread goes on
            if not self._failing:  # said once, not a line an image
                log.error("the shadow failed on an image: %s", error)
            self._failing = True
            self._let_go(waiting.values, "failed")
            return
        self._failing = False
        self._outcomes["scored"].inc()
        self._numbers.add(waiting.values + values)

    def _values(self, pixels: np.ndarray) -> tuple[Value, ...]:
        logits = self._network.logits(pixels)
        require_finite(logits, lambda: pixel_digest(pixels))
        manifest = self._compared.manifest
        listed = findings(logits, manifest.labels, manifest.thresholds())
        found = {one.label: one for one in listed}
        return shadow_values(manifest.version, [found[label] for label in self._compared.labels])

    def _let_go(self, values: tuple[Value, ...], outcome: str) -> None:
        """Write a row without the shadow's values."""
        self._outcomes[outcome].inc()
        self._numbers.add(values)


def require_shadow(settings: Settings, served: Manifest) -> tuple[Bundle, Compared] | None:
    """The verified second bundle that the settings name, and what is compared.

    Args:
        settings: All of them.
        served: Manifest of the bundle that answers.

    Returns:
        None where the settings name none.

    Raises:
        SettingRefused: There is no log to write to, the bundle cannot be used, or the two have
            no finding in common.
    """
    if (folder := shadow_folder(settings)) is None:
        return None
    if settings.monitoring_log is None:
        raise SettingRefused("CXR_SHADOW needs CXR_MONITORING_LOG, where its numbers are written")
    try:
        bundle = open_bundle(folder)
    except BundleRefused as error:
        raise SettingRefused(f"CXR_SHADOW: {error}") from error
    labels = tuple(label for label in served.named() if label in bundle.manifest.named())
    if not labels:
        raise SettingRefused(
            f"CXR_SHADOW: {bundle.manifest.name} predicts {', '.join(bundle.manifest.named())} and "
            f"{served.name} {', '.join(served.named())}: there is no finding to compare"
        )
    if bundle.manifest.input != served.input:
        raise SettingRefused(f"CXR_SHADOW: {bundle.manifest.name} takes another input")
    return bundle, Compared(bundle.manifest, labels)


def load_shadow(settings: Settings, served: Manifest) -> Runtime | None:
    """Load the second bundle's network, None where the settings name none.

    Raises:
        SettingRefused: As for `require_shadow`, or its network cannot run here or does not answer
            as it should.
    """
    if (found := require_shadow(settings, served)) is None:
        return None
    bundle, _ = found
    try:
        variant = select(bundle.manifest, settings.runtime, settings.precision).variant
        return open_runtime(bundle, variant, threads=1, streams=1, max_batch=1)
    except BundleRefused as error:
        raise SettingRefused(f"CXR_SHADOW: {error}") from error


def open_shadow(settings: Settings, served: Manifest) -> Compared | None:
    """What the shadow is compared on, in a worker.

    The start has refused what cannot be used. A worker that takes another's place comes up without
    a shadow that was damaged meanwhile.
    """
    try:
        found = require_shadow(settings, served)
    except SettingRefused as error:
        log.error("no shadow: %s", error)
        return None
    return found[1] if found else None
