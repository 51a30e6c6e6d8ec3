"""What the service is measured against: the same runtime and decoder without HTTP.

Run as `python -m bench.floor IMAGE … --seconds S`, with the service's settings in the
environment, in a process of its own like the service's. Prints JSON.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median

import click
import numpy as np

from service.network.predictor import Predictor, Prepared, open_predictor
from service.settings import read_settings


def rate(
    works: Sequence[Callable[[], int]],
    *,
    seconds: float = math.inf,
    images: float = math.inf,
    warm_up: int = 1,
) -> float:
    """Images a second of works that go on beside each other.

    Args:
        works: What a slot does once; each answers how many images that were.
        seconds: How long, after the warm-up.
        images: After how many a work ends before that.
        warm_up: How often each is done before the clock starts.
    """
    with ThreadPoolExecutor(len(works)) as pool:
        list(pool.map(lambda work: [work() for _ in range(warm_up)], works))
        started = time.monotonic()

        def turn(work: Callable[[], int]) -> int:
            done = 0
            while done < images and time.monotonic() - started < seconds:
                done += work()
            return done

        done = sum(pool.map(turn, works))
    return done / (time.monotonic() - started)


def typical(work: Callable[[], object], seconds: float) -> float:
    """Median seconds of something, after one round to warm up."""
    work()
    took: list[float] = []
    started = time.monotonic()
    while time.monotonic() - started < seconds or not took:
        before = time.monotonic()
        work()
        took.append(time.monotonic() - before)
    return median(took)


def pipeline(
    predictor: Predictor, files: list[bytes], batch: int, pool: ThreadPoolExecutor
) -> Callable[[], int]:
    """Decode in threads and run in batches, with work for the decoders always at hand."""
    source = cycle(files)
    ahead: deque[Future[Prepared]] = deque()

    def step() -> int:
        while len(ahead) < 3 * batch:
            ahead.append(pool.submit(predictor.prepare, next(source)))
        ready = [ahead.popleft().result() for _ in range(batch)]
        outputs = predictor.runtime.run(np.stack([one.input.pixels for one in ready]))
        for one, logits in zip(ready, outputs.logits, strict=True):
            predictor.answer(one, logits)
        return batch

    return step


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seconds", default=3.0, show_default=True, help="For each figure.")
@click.option("--batch", default=8, show_default=True)
def main(images: tuple[Path, ...], seconds: float, batch: int) -> None:
    """Measure the runtime alone and with decoding, without HTTP.

    IMAGES named SIDE-NUMBER.jpg are taken together by their side.
    """
    settings = read_settings()
    predictor = open_predictor(settings)
    by_side: dict[str, list[bytes]] = defaultdict(list)
    for image in images:
        by_side[image.name.split("-")[0]].append(image.read_bytes())
    first = next(iter(by_side.values()))
    pixels = np.stack([predictor.prepare(first[n % len(first)]).input.pixels for n in range(batch)])

    def run_batch() -> int:
        predictor.runtime.run(pixels)
        return batch

    slots = predictor.runtime.slots + predictor.runtime.spare
    pool = ThreadPoolExecutor(settings.decoders)
    report = {
        "runtime": predictor.model.runtime,
        "precision": predictor.model.precision,
        "batch": batch,
        "batch_1_ms": typical(lambda: predictor.runtime.low_latency.run(pixels[:1]), seconds) * 1e3,
        "slots": slots,
        "batch_8_a_second": rate([run_batch] * slots, seconds=seconds),
        "decode_ms": {
            side: typical(partial(predictor.prepare, files[0]), seconds / 3) * 1e3
            for side, files in by_side.items()
        },
        "decode_and_run_a_second": {
            side: rate(
                [pipeline(predictor, files, batch, pool) for _ in range(slots)], seconds=seconds
            )
            for side, files in by_side.items()
        },
    }
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
