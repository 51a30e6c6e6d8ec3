"""The prediction lane: decode off the event loop, queue, run in batches, answer."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from service.errors import BundleRefused, CxrError, DeadlineExceeded, Overloaded, Unavailable
from service.explain.answer import ExplanationAnswer, explanation_answer
from service.explain.cam.class_map import CAM, class_activation_map
from service.explain.cam.request import MapRequest
from service.explain.explanation import explanation
from service.explain.fields import ServedPrediction
from service.explain.hotspot import directions
from service.metrics import (
    BATCH_SIZE,
    DECISIONS,
    DECODE_SECONDS,
    INFERENCE_SECONDS,
    INPUT_DISTANCE,
    INPUT_VERDICTS,
    QUEUE_DEPTH,
    QUEUE_SECONDS,
    SITE_DECISIONS,
)
from service.network.answer import Prediction
from service.network.gate import Judgement
from service.network.predictor import Predictor, Prepared, require_finite
from service.network.runtime import Outputs, batch_sizes, ways
from service.radiograph.memory_budget import Claim
from service.radiograph.preprocess import INPUT_SIDE, pixel_digest
from service.radiograph.preview import BESIDE, preview
from service.serving.batching import Expected, ImageOutputs, MicroBatcher
from service.serving.monitoring_log import MonitoringLog
from service.serving.shadow import Shadow
from service.serving.work_queue import WorkQueue
from service.settings import Settings

LANE = "predict"

SHARE_OF_DEADLINE = 0.7
"""Of the deadline, what the expected wait may take up; the rest is for decoding and for error."""

_QUIET_SECONDS = 0.5
"""Idle seconds before a single image may use all threads. Where
images come at random, one that is alone is often joined by another before it is done, and a run on
all threads is what the other then waits for."""

_STEP_BYTES = 160 << 20
"""Of memory that a step of a runtime takes: 140 MiB for batches of eight in int8, 180 in float32,
40 to 100 for the others."""

_LEARNING = 0.05
"""EMA weight of the newest image's seconds."""

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
    """A scored image with its outputs and timings.

    Attributes:
        prepared: The decoded image.
        row: The network's outputs for it.
        judgement: How unusual it is.
        prediction: Its answer.
        timings: Where the time went.
    """

    prepared: Prepared
    row: ImageOutputs
    judgement: Judgement
    prediction: Prediction
    timings: Timings


class Image(Protocol):
    """An image file that was sent, and that is released once nobody is at work on it."""

    def in_use(self) -> AbstractContextManager[bytes]:
        """Keep the file while the block lasts; CancelledError where nobody wants it any more."""
        ...


@dataclass(frozen=True, eq=False)
class _Decoded:
    """What the decoders made of an image.

    Attributes:
        prepared: The network's input and what the answer says of the file.
        waited: Seconds until a decoder began with it.
        seconds: That it took, waiting for memory included.
    """

    prepared: Prepared
    waited: float
    seconds: float


class PredictionLane:
    """Decodes, queues and scores the images of many callers.

    Args:
        predictor: The bundle and its runtime.
        settings: Limits.
        log: Told the numbers of every answer; None where none is kept.
        shadow: Told them instead, with the pixels; None where there is none.
    """

    def __init__(
        self,
        predictor: Predictor,
        settings: Settings,
        log: MonitoringLog | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        self._predictor = predictor
        self._monitoring = log
        self._shadow = shadow
        self._settings = settings
        self._decoders = WorkQueue(settings.decoders, "decode")
        self._batcher: MicroBatcher | None = None
        self._completing: asyncio.Future[None] | None = None
        self._closing = False
        self._admitted = 0
        self._company_until = -math.inf
        # What may be in work at one time: waiting, running, and being decoded to be next.
        self._capacity = settings.queue + 2 * settings.max_batch
        self._seconds_an_image = 0.0
        self._queue_depth = QUEUE_DEPTH.labels(LANE)
        self._queue_seconds = QUEUE_SECONDS.labels(LANE)
        self._inference_seconds = INFERENCE_SECONDS.labels(LANE)

    async def start(self) -> None:
        """Accept work, and see to the rest of the runtime and of its notes meanwhile."""
        await asyncio.to_thread(self._note_choice)
        steps = deque(self._predictor.steps)
        self._predictor.reader.memory.expect_growth(lambda: len(steps) * _STEP_BYTES)
        await asyncio.to_thread(self._warm_up)
        runtime = self._predictor.runtime
        self._batcher = MicroBatcher(
            self._run,
            slots=runtime.slots + runtime.spare,
            sizes=batch_sizes(runtime, self._settings.max_batch),
            max_waiting=self._settings.queue,
        )
        self._completing = asyncio.ensure_future(self._complete(steps, self._batcher))

    def _note_choice(self) -> None:
        """Log why the variant is served, and where another one is quicker."""
        measured = self._settings.check_choice
        warning = self._predictor.choice_warning(self._settings.threads, measured=measured)
        for note in filter(None, (self._predictor.note, warning)):
            log.warning(note)

    def _warm_up(self) -> None:
        """Run every batch size once: the first run at a size allocates for it."""
        for way in ways(self._predictor.runtime):
            for size in batch_sizes(way, self._settings.max_batch):
                way.run(np.zeros((size, 1, INPUT_SIDE, INPUT_SIDE), np.float32))

    async def _complete(self, steps: deque[Callable[[], None]], batcher: MicroBatcher) -> None:
        """Do the runtime's steps while images are answered."""
        while steps:
            try:
                await asyncio.to_thread(steps[0])
            except BundleRefused as fault:
                log.error("%s; it is served without", fault.message)
            except Exception:
                log.exception("the runtime stays as it is")
            steps.popleft()
            if self._closing:
                return
            await asyncio.to_thread(self._warm_up)
            batcher.set_sizes(batch_sizes(self._predictor.runtime, self._settings.max_batch))
        # Now that the process holds what it needs, what is left for images is known.
        if warning := self._predictor.reader.memory_warning:
            log.warning(warning)
        log.info("the runtime is complete")

    def _run(self, pixels: np.ndarray) -> Outputs:
        """Run a batch; a single image takes all threads where no other is in work.

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

    @property
    def in_work(self) -> int:
        """Images that are held: waiting, decoded, run, or still decoded for nobody."""
        return self._admitted

    @property
    def waiting(self) -> int:
        """Images that wait for the network."""
        return self._batcher.waiting if self._batcher else 0

    @property
    def waiting_to_be_decoded(self) -> int:
        """Images that wait for a decoder."""
        return self._decoders.waiting

    def check_capacity(self, seconds: float | None = None) -> None:
        """Turn a request away before its body is read or decoded.

        Args:
            seconds: Until the caller's own deadline; None where it has none.

        Raises:
            Overloaded: As much as may be in work is in work, or more than can be answered by
                the deadline at the speed of late.
        """
        wait = self._admitted * self._seconds_an_image
        longest = self._settings.deadline_seconds
        late = wait > SHARE_OF_DEADLINE * (longest if seconds is None else min(seconds, longest))
        if late or self._admitted >= self._capacity:
            raise Overloaded(
                "The queue is full; try again in a moment.", retry_after=max(1, round(wait / 2))
            )

    @contextmanager
    def _decoding(self, work: Callable[[], Result], claim: Claim) -> Iterator[Future[Result]]:
        """Hand work to the decoders; it is in work until the block is left and it is over.

        Where the block is left earlier, because the caller is gone or the deadline past, work that
        has not begun is dropped, and work that has begun counts until it ends: so long it holds
        what it works on.

        Args:
            work: Run in a decoder's thread.
            claim: The memory that it may wait for.

        Raises:
            Overloaded: As for `check_capacity`.
        """
        self.check_capacity()
        future = self._decoders.submit(work)
        self._admitted += 1
        try:
            yield future
        finally:
            claim.cancel()
            self._decoders.withdraw(future, self._leave)

    def _leave(self) -> None:
        """Count an image out."""
        if self._admitted > 1:
            self._company_until = time.monotonic()
        self._admitted -= 1
        self._queue_depth.set(self.waiting)

    def _claim(self, deadline: float, beside: int = 0) -> Claim:
        """A claim for memory, waited for up to a deadline on the event loop's clock."""
        left = deadline - asyncio.get_running_loop().time()
        return self._predictor.reader.memory.claim(beside=beside, deadline=time.monotonic() + left)

    def _learn_speed(self, row: ImageOutputs) -> None:
        runtime = self._predictor.runtime
        seconds = row.ran / row.batch_size / (runtime.slots + runtime.spare)
        weight = _LEARNING if self._seconds_an_image else 1.0
        self._seconds_an_image += weight * (seconds - self._seconds_an_image)

    async def predict(self, image: Image, deadline: float) -> Scored:
        """Score one image file.

        Args:
            image: The file.
            deadline: On the event loop's clock.

        Raises:
            ClientFault: The file cannot be scored, or the queue is full.
            ServerFault: The network failed on it, there was no answer by the deadline, or the
                service is not up.
        """
        batcher = self._batcher
        if batcher is None:
            raise Unavailable("The service is starting.")
        claim = self._claim(deadline)
        with batcher.expect(deadline) as expected:
            work = partial(self._decode, image, claim, expected, batcher, time.monotonic())
            with self._decoding(work, claim) as decoding:
                decoding.add_done_callback(partial(_queue_pixels, expected, batcher))
                row = await expected.answer
                decoded = decoding.result()
        waited = decoded.waited + row.waited
        self._observe(row, waited)
        judgement = self._predictor.judge(decoded.prepared, row.features)
        INPUT_VERDICTS.labels(judgement.verdict).inc()
        if judgement.distance is not None:
            INPUT_DISTANCE.observe(judgement.distance)
        answer = self._predictor.answer(decoded.prepared, row.logits, judgement)
        for label, found in answer.pathologies.items():
            DECISIONS.labels(label, str(found.positive).lower()).inc()
            if found.site is not None:
                SITE_DECISIONS.labels(label, found.site.decision).inc()
        if self._shadow is not None:
            self._shadow.put(decoded.prepared.source, answer, decoded.prepared.input.pixels)
        elif self._monitoring is not None:
            self._monitoring.put(decoded.prepared.source, answer)
        timings = Timings(decoded.seconds, waited, row.ran, row.batch_size)
        return Scored(decoded.prepared, row, judgement, answer, timings)

    async def run_network(self, pixels: np.ndarray, deadline: float) -> ImageOutputs:
        """Run the network on pixels that need no decoding; they queue beside those that do.

        Args:
            pixels: float32 (1, 224, 224) in [0, 1].
            deadline: On the event loop's clock.

        Raises:
            Overloaded: The queue is full.
            ServerFault: The network failed on them, there was no answer by the deadline, or the
                service is not up.
        """
        if self._batcher is None:
            raise Unavailable("The service is starting.")
        self.check_capacity()
        self._admitted += 1
        try:
            row = await self._batcher.submit(pixels, deadline)
        finally:
            self._leave()
        self._observe(row, row.waited)
        require_finite(row.logits, partial(pixel_digest, pixels))
        return row

    def _observe(self, row: ImageOutputs, waited: float) -> None:
        """Learn from an image that the network ran on, and measure it; `waited` is in seconds."""
        self._learn_speed(row)
        self._queue_seconds.observe(waited)
        self._inference_seconds.observe(row.ran)
        BATCH_SIZE.observe(row.batch_size)

    async def preview(self, image: Image, deadline: float) -> bytes:
        """Draw one image file as an 8-bit PNG; it counts as work like a prediction.

        Args:
            image: The file.
            deadline: On the event loop's clock.

        Raises:
            ClientFault: The file cannot be shown, or the queue is full.
            ServerFault: It was not drawn by the deadline.
        """
        claim = self._claim(deadline, BESIDE)
        left = deadline - asyncio.get_running_loop().time()
        with self._decoding(partial(self._draw, image, claim), claim) as drawing:
            try:
                return await asyncio.wait_for(asyncio.wrap_future(drawing), left)
            except asyncio.TimeoutError as error:
                raise DeadlineExceeded("The image was not decoded by the deadline.") from error

    def explanation(self, scored: Scored, request: MapRequest) -> ExplanationAnswer:
        """Explain a prediction by the maps that came with it: no gradient, no second pass."""
        class_map = class_activation_map(scored.row.cams, scored.row.logits, request.output)
        found = explanation(
            request,
            class_map,
            scored.prepared.input.geometry,
            self._predictor.manifest.thresholds(),
            patient_orientation=directions(scored.prepared.orientation),
            site=self._predictor.site,
        )
        prepared = scored.prepared
        return explanation_answer(
            found, prepared.image, self._predictor.model, scored.judgement, prepared.warnings
        )

    def served(self, scored: Scored, request: MapRequest) -> ServedPrediction:
        """The served prediction, for the explainer; with its map where that is the one wanted."""
        model = self._predictor.model
        served = ServedPrediction(
            logit=float(scored.row.logits[request.output]),
            runtime=model.runtime,
            precision=model.precision,
        )
        if request.method != CAM:
            return served
        class_map = class_activation_map(scored.row.cams, scored.row.logits, request.output)
        rows = tuple(tuple(row) for row in class_map.values.tolist())
        return served.model_copy(update={"activation_map": rows, "judgement": scored.judgement})

    def _draw(self, image: Image, claim: Claim) -> bytes:
        """Draw a preview; in a decoder's thread."""
        with image.in_use() as data:
            return preview(data, self._predictor.reader, claim)

    def _decode(
        self, image: Image, claim: Claim, expected: Expected, batcher: MicroBatcher, came: float
    ) -> _Decoded:
        """Prepare an image for the network; in a decoder's thread.

        Raises:
            CancelledError: Nobody wants it any more.
        """
        batcher.wait_until_short()
        if not expected.wanted:
            raise CancelledError
        started = time.monotonic()
        outcome = "ok"
        with image.in_use() as data:
            try:
                prepared = self._predictor.prepare(data, claim)
            except Exception as error:
                outcome = error.code if isinstance(error, CxrError) else CxrError.code
                raise
            finally:
                seconds = time.monotonic() - started
                DECODE_SECONDS.labels(outcome).observe(seconds)
        return _Decoded(prepared, started - came, seconds)

    async def close(self) -> bool:
        """Finish the accepted work.

        Returns:
            Whether everything came to an end in time.
        """
        self._closing = True
        self._decoders.close()
        if self._completing is not None:
            await self._completing
        return self._batcher is None or await self._batcher.close(self._settings.drain_seconds)


def _queue_pixels(expected: Expected, batcher: MicroBatcher, decoding: Future[_Decoded]) -> None:
    """Queue what was decoded for the network, or say why it was not decoded; in any thread."""
    if decoding.cancelled():  # nobody wants it any more, or the batcher closes and says so
        return
    error = decoding.exception()
    if isinstance(error, Exception):
        batcher.refuse(expected, error)
    else:
        batcher.put(expected, decoding.result().prepared.input.pixels)
