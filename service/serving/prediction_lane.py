"""The prediction lane: decode off the event loop, queue, run in batches, answer."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from service.errors import CxrError, DeadlineExceeded, Overloaded, Unavailable
from service.explain.answer import ExplanationAnswer, explanation_answer
from service.explain.cam.class_map import class_activation_map
from service.explain.cam.request import MapRequest
from service.explain.explanation import explanation
from service.explain.fields import ServedPrediction
from service.explain.hotspot import directions
from service.metrics import (
    BATCH_SIZE,
    DECISIONS,
    DECODE_SECONDS,
    INFERENCE_SECONDS,
    QUEUE_DEPTH,
    QUEUE_SECONDS,
)
from service.network.answer import Prediction
from service.network.predictor import Predictor, Prepared
from service.network.runtime import Outputs, batch_sizes, ways
from service.radiograph.preprocess import INPUT_SIDE
from service.radiograph.preview import preview
from service.serving.batching import Expected, ImageOutputs, MicroBatcher
from service.settings import Settings

LANE = "predict"

SHARE_OF_DEADLINE = 0.7
"""Of the deadline, what the expected wait may take up; the rest is for decoding and for error."""

_QUIET_SECONDS = 0.5
"""Without two images in work at one time, after which the next is expected to stay alone. Where
images come at random, one that is alone is often joined by another before it is done, and a run on
all threads is what the other then waits for."""

_LEARNING = 0.05
"""Weight of the newest image in the speed of late."""

log = logging.getLogger("cxr.predict")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timings:
    """Where the time of one prediction went, in seconds; `queue` is waiting of every kind."""

    decode: float
    queue: float
    inference: float
    batch_size: int

    def as_server_timing(self) -> str:
        """The same as the Server-Timing header has it (W3C Server Timing)."""
        stages = ("decode", self.decode), ("queue", self.queue), ("inference", self.inference)
        return ", ".join(f"{name};dur={seconds * 1e3:.2f}" for name, seconds in stages)

    def as_milliseconds(self) -> dict[str, float]:
        """The same as a request's record has it."""
        return {
            "decode_ms": round(self.decode * 1e3, 2),
            "queue_ms": round(self.queue * 1e3, 2),
            "inference_ms": round(self.inference * 1e3, 2),
            "batch_size": self.batch_size,
        }


@dataclass(frozen=True, eq=False)
class Scored:
    """One image's way through the lane.

    Attributes:
        prepared: The decoded image.
        row: The network's outputs for it.
        prediction: Its answer.
        timings: Where the time went.
    """

    prepared: Prepared
    row: ImageOutputs
    prediction: Prediction
    timings: Timings


@dataclass(eq=False)
class _Decoding:
    """An image that is with the decoders.

    Attributes:
        data: The file.
        expected: Who waits for it.
        came: When it came to them, on the monotonic clock.
        waited: Seconds until one of them began with it.
        seconds: That it took.
        prepared: What they made of it.
    """

    data: bytes
    expected: Expected
    came: float = field(default_factory=time.monotonic)
    waited: float = field(init=False)
    seconds: float = field(init=False)
    prepared: Prepared = field(init=False)


class PredictionLane:
    """Everything between the bytes of an image and its answer, for many callers at once.

    Args:
        predictor: The bundle and its runtime.
        settings: Limits.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor = predictor
        self._settings = settings
        self._decoders = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decode")
        self._batcher: MicroBatcher | None = None
        self._admitted = 0
        self._company_until = -math.inf
        # What may be in work at one time: waiting, running, and being decoded to be next.
        self._capacity = settings.queue + 2 * settings.max_batch
        self._seconds_an_image = 0.0
        self._queue_depth = QUEUE_DEPTH.labels(LANE)
        self._queue_seconds = QUEUE_SECONDS.labels(LANE)
        self._inference_seconds = INFERENCE_SECONDS.labels(LANE)

    async def start(self) -> None:
        """Say what there is to say of the runtime, warm every batch size up, then take work."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._decoders, self._warm_up)
        runtime = self._predictor.runtime
        self._batcher = MicroBatcher(
            self._run,
            slots=runtime.slots + runtime.spare,
            sizes=batch_sizes(runtime, self._settings.max_batch),
            max_waiting=self._settings.queue,
        )

    def _warm_up(self) -> None:
        notes = [self._predictor.note]
        if self._settings.check_choice:
            notes.append(self._predictor.choice_warning(self._settings.threads))
        for note in filter(None, notes):
            log.warning(note)
        for way in ways(self._predictor.runtime):
            for size in batch_sizes(way, self._settings.max_batch):
                way.run(np.zeros((size, 1, INPUT_SIDE, INPUT_SIDE), np.float32))

    def _run(self, pixels: np.ndarray) -> Outputs:
        """Run a batch: the lone way only for an image that is the only one in work, as of late.

        Beside others it would take the cores from what is decoded or run.
        """
        runtime = self._predictor.runtime
        alone = self._admitted == 1 and time.monotonic() - self._company_until > _QUIET_SECONDS
        return (runtime.low_latency if alone else runtime).run(pixels)

    @property
    def ready(self) -> bool:
        return self._batcher is not None and not self.stalled

    @property
    def stalled(self) -> bool:
        """Whether the runtime hangs."""
        return self._batcher is not None and self._batcher.stalled(self._settings.stall_seconds)

    def check_capacity(self) -> None:
        """Turn a request away before its body is read or decoded.

        Raises:
            Overloaded: As much as may be in work is in work, or more than can be answered by
                the deadline at the speed of late.
        """
        wait = self._admitted * self._seconds_an_image
        late = wait > SHARE_OF_DEADLINE * self._settings.deadline_seconds
        if late or self._admitted >= self._capacity:
            raise Overloaded(
                "The queue is full; try again in a moment.", retry_after=max(1, round(wait / 2))
            )

    @contextmanager
    def _in_work(self) -> Iterator[None]:
        """Count an image in, and out again.

        Raises:
            Overloaded: As for `check_capacity`.
        """
        self.check_capacity()
        self._admitted += 1
        try:
            yield
        finally:
            if self._admitted > 1:
                self._company_until = time.monotonic()
            self._admitted -= 1
            self._queue_depth.set(self._batcher.waiting if self._batcher else 0)

    def _learn_speed(self, row: ImageOutputs) -> None:
        runtime = self._predictor.runtime
        seconds = row.ran / row.batch_size / (runtime.slots + runtime.spare)
        weight = _LEARNING if self._seconds_an_image else 1.0
        self._seconds_an_image += weight * (seconds - self._seconds_an_image)

    async def predict(self, data: bytes, deadline: float) -> Scored:
        """Score one image file.

        Args:
            data: The file.
            deadline: On the event loop's clock.

        Raises:
            ClientFault: The file cannot be scored, or the queue is full.
            ServerFault: The network failed on it, there was no answer by the deadline, or the
                service is not up.
        """
        if self._batcher is None:
            raise Unavailable("The service is starting.")
        with self._in_work(), self._batcher.expect(deadline) as expected:
            decoding = _Decoding(data, expected)
            self._decoders.submit(self._decode, decoding, self._batcher)
            row = await expected.answer
            self._learn_speed(row)
            answer = self._predictor.answer(decoding.prepared, row.logits)
        waited = decoding.waited + row.waited
        self._queue_seconds.observe(waited)
        self._inference_seconds.observe(row.ran)
        BATCH_SIZE.observe(row.batch_size)
        for label, found in answer.pathologies.items():
            DECISIONS.labels(label, str(found.positive).lower()).inc()
        timings = Timings(decoding.seconds, waited, row.ran, row.batch_size)
        return Scored(decoding.prepared, row, answer, timings)

    async def preview(self, data: bytes, deadline: float) -> bytes:
        """Draw one image file as an 8-bit PNG; it counts as work like a prediction.

        Args:
            data: The file.
            deadline: On the event loop's clock.

        Raises:
            ClientFault: The file cannot be shown, or the queue is full.
            ServerFault: It was not drawn by the deadline.
        """
        with self._in_work():
            return await self._by_a_decoder(self._draw, data, deadline)

    def explanation(self, scored: Scored, request: MapRequest) -> ExplanationAnswer:
        """Explain a prediction by the maps that came with it: no gradient, no second pass."""
        class_map = class_activation_map(scored.row.cams, scored.row.logits, request.output)
        found = explanation(
            request,
            class_map,
            scored.prepared.input.geometry,
            self._predictor.manifest.thresholds(),
            patient_orientation=directions(scored.prepared.orientation),
        )
        prepared = scored.prepared
        return explanation_answer(found, prepared.image, self._predictor.model, prepared.warnings)

    def served(self, scored: Scored, request: MapRequest) -> ServedPrediction:
        """What the explainer is told of a prediction that it is to explain."""
        model = self._predictor.model
        return ServedPrediction(
            logit=float(scored.row.logits[request.output]),
            runtime=model.runtime,
            precision=model.precision,
        )

    async def _by_a_decoder(
        self, work_on: Callable[[bytes], Result], data: bytes, deadline: float
    ) -> Result:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._decoders, work_on, data)
        try:
            return await asyncio.wait_for(work, deadline - loop.time())
        except asyncio.TimeoutError as error:
            raise DeadlineExceeded("The image was not decoded by the deadline.") from error

    def _draw(self, data: bytes) -> bytes:
        return preview(data, self._predictor.reader)

    def _decode(self, decoding: _Decoding, batcher: MicroBatcher) -> None:
        """Prepare an image and queue it for the runtime; in a decoder's thread."""
        batcher.wait_until_short()
        if not decoding.expected.wanted:
            return
        started = time.monotonic()
        decoding.waited = started - decoding.came
        outcome = "ok"
        try:
            decoding.prepared = self._predictor.prepare(decoding.data)
        except Exception as error:
            outcome = error.code if isinstance(error, CxrError) else CxrError.code
            batcher.refuse(decoding.expected, error)
        else:
            decoding.seconds = time.monotonic() - started
            batcher.put(decoding.expected, decoding.prepared.input.pixels)
        DECODE_SECONDS.labels(outcome).observe(time.monotonic() - started)

    async def close(self) -> bool:
        """Finish what was accepted.

        Returns:
            Whether everything came to an end in time.
        """
        self._decoders.shutdown(wait=False, cancel_futures=True)
        return self._batcher is None or await self._batcher.close(self._settings.drain_seconds)
