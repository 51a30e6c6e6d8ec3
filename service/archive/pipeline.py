"""Score many files: reading and decoding in threads, the network in batches, answers in order.

A batch is made of what can be decoded among `max_batch` consecutive files, so that it depends on
the files alone and not on which decoder was done first: a runtime whose last digits depend on
the batch (ONNX Runtime's float32) says the same again when the same files are scored again. For
the same reason a runtime that chooses its way by the load is not asked to: here it is always the
way for many.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from service.errors import CxrError, InferenceFailed, Unreadable
from service.network.answer import Prediction
from service.network.predictor import Predictor, Prepared
from service.network.runtime import Runtime
from service.radiograph.limits import DecodeLimits
from service.radiograph.preprocess import Geometry
from service.serving.isolated_batch import rows, run_isolated

log = logging.getLogger("cxr.archive")


@dataclass(frozen=True, eq=False)
class ImageEvidence:
    """The network's outputs for an image, for explanation and evaluation.

    Attributes:
        logits: float32 (18,).
        cams: float32 (18, 7, 7), class activation maps.
        geometry: Where the network's square lies in the image.
        orientation: DICOM Patient Orientation, where the file tells it.
    """

    logits: np.ndarray
    cams: np.ndarray
    geometry: Geometry
    orientation: str | None


@dataclass(frozen=True)
class Outcome:
    """The outcome of one file: a prediction, or the reason why there is none.

    Attributes:
        path: The file.
        prediction: As the service answers; None where there is a fault.
        fault: Why the file was refused; None where there is a prediction.
        evidence: Behind the prediction; None where there is none.
    """

    path: Path
    prediction: Prediction | None
    fault: CxrError | None
    evidence: ImageEvidence | None = None


def score_each(
    predictor: Predictor,
    files: Iterable[Path],
    *,
    decoders: int,
    max_batch: int,
    ahead: int | None = None,
) -> Iterator[Outcome]:
    """Score files, one outcome each, in their order; nothing that a file holds ends the work.

    Memory does not grow with the number of files: they are taken from `files` as they are
    needed, and no more than `ahead` of them are in work or wait to be taken by the caller.

    Args:
        predictor: The bundle, its runtime and how files are read.
        files: As many as there are.
        decoders: Threads that read and decode.
        max_batch: Files whose images are run at once.
        ahead: Files in work at one time, at least two batches for each slot of the runtime;
            four where left out.

    Yields:
        An outcome a file. A fault is a `ClientFault` where the file is to blame (`Unreadable`
        where it cannot be opened), `InferenceFailed` where the network failed on it, and a plain
        `CxrError` where this software did.
    """
    runtime = predictor.runtime
    slots = runtime.slots + runtime.spare
    batches = max(2 * slots, (ahead or 4 * slots * max_batch) // max_batch)
    remaining = iter(files)
    with (
        ThreadPoolExecutor(decoders, thread_name_prefix="decode") as decoding,
        ThreadPoolExecutor(slots, thread_name_prefix="runtime") as running,
    ):
        in_work: deque[Future[list[Outcome]]] = deque()
        try:
            while True:
                while len(in_work) < batches and (paths := list(islice(remaining, max_batch))):
                    prepared = [decoding.submit(_prepare, predictor, path) for path in paths]
                    in_work.append(running.submit(_score, predictor, runtime, paths, prepared))
                if not in_work:
                    return
                yield from in_work.popleft().result()
        finally:  # left early: what has begun ends, the rest is dropped
            decoding.shutdown(wait=False, cancel_futures=True)
            running.shutdown(wait=False, cancel_futures=True)


def read_file(path: Path, limits: DecodeLimits) -> bytes:
    """Read a file whose size is within the limits.

    Raises:
        TooLarge: It has more bytes than are accepted; none of them was read.
        Unreadable: It is gone, may not be read, or is no regular file.
    """
    # A pipe must not be waited for: whether this is one is known only once it is open.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Unreadable("This is no regular file.")
            limits.check_bytes(found.st_size)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(found.st_size + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Unreadable(f"The file cannot be read: {reason}.") from error
    if len(data) > found.st_size:
        raise Unreadable("The file is being written to.")
    return data


def _prepare(predictor: Predictor, path: Path) -> Prepared | CxrError:
    try:
        return predictor.prepare(read_file(path, predictor.reader.limits))
    except CxrError as fault:
        return fault
    except Exception as error:
        return own_fault(error)


def _score(
    predictor: Predictor,
    runtime: Runtime,
    paths: list[Path],
    futures: list[Future[Prepared | CxrError]],
) -> list[Outcome]:
    """Run the decoded images of consecutive files."""
    found = [future.result() for future in futures]
    ready = [one for one in found if isinstance(one, Prepared)]
    answers = iter(_answers(predictor, runtime, ready))
    return [
        Outcome(path, None, one) if isinstance(one, CxrError) else _outcome(path, *next(answers))
        for path, one in zip(paths, found, strict=True)
    ]


def _outcome(path: Path, answer: Prediction | CxrError, evidence: ImageEvidence | None) -> Outcome:
    if isinstance(answer, CxrError):
        return Outcome(path, None, answer)
    return Outcome(path, answer, None, evidence)


def _answers(
    predictor: Predictor, runtime: Runtime, ready: list[Prepared]
) -> Iterator[tuple[Prediction | CxrError, ImageEvidence | None]]:
    if not ready:
        return
    waiting = iter(ready)
    for part in run_isolated(runtime.run, [one.input.pixels for one in ready]):
        if isinstance(part.outputs, InferenceFailed):
            next(waiting)
            yield part.outputs, None
            continue
        images = islice(waiting, part.size)
        for one, (logits, cams, features) in zip(images, rows(part.outputs), strict=True):
            evidence = ImageEvidence(logits, cams, one.input.geometry, one.orientation)
            try:
                yield predictor.answer(one, logits, predictor.judge(one, features)), evidence
            except CxrError as fault:
                yield fault, None
            except Exception as error:
                yield own_fault(error), None


def own_fault(error: Exception) -> CxrError:
    """The fault of a file on which this software failed for a reason that it does not know."""
    # The message stays out of the log: it may quote the file.
    log.error("a file could not be scored: %s", type(error).__name__)
    fault = CxrError("This software failed on the file.")
    fault.__cause__ = error
    return fault
