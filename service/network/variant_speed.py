"""Measuring the speed of a bundle's variants on this machine."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Iterable, Mapping

import numpy as np

from service.network.bundle import Bundle, MachineRecord, Measurement, SpeedTable, Variant
from service.network.runtime import Runtime, load_runtime, unavailable_reason
from service.network.runtime.machine import cpu_name, instructions
from service.network.runtime.threads import usable_cpus

BATCHES = (1, 8)
"""A lone request, and a queue that has filled."""

SECONDS = 0.4
ROUNDS = 3
NOTEWORTHY = 1.15
"""How much faster another variant must be before anybody is told: machines are noisy."""


def this_machine(threads: int | None = None) -> MachineRecord:
    """Describe this machine."""
    return MachineRecord(
        processor=cpu_name(), instructions=instructions(), threads=threads or usable_cpus()
    )


def measure(
    runtimes: Mapping[str, Runtime],
    batches: Iterable[int] = BATCHES,
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
) -> tuple[Measurement, ...]:
    """Time runtimes in turns, so that noise affects all of them alike.

    Args:
        runtimes: By the name of their variant.
        batches: Images a run.
        seconds: How long each is run at each batch size in each round.
        rounds: Turns; the median of them is what counts.
    """
    batches = tuple(batches)
    pixels = np.random.default_rng(0).random((max(batches), 1, 224, 224), np.float32)
    rates: dict[tuple[str, int], list[float]] = {}
    times: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds):
        for name, runtime in runtimes.items():
            for batch in batches:
                if turn == 0:  # the first run at a size compiles or allocates for it
                    runtime.run(pixels[:batch])
                taken, elapsed = _run_for(runtime, pixels[:batch], seconds)
                rates.setdefault((name, batch), []).append(len(taken) * batch / elapsed)
                times.setdefault((name, batch), []).append(statistics.median(taken))
    return tuple(
        Measurement(
            variant=name,
            batch=batch,
            images_per_second=round(statistics.median(rates[name, batch]), 1),
            milliseconds=round(1000 * statistics.median(times[name, batch]), 2),
        )
        for name in runtimes
        for batch in batches
    )


def _run_for(runtime: Runtime, pixels: np.ndarray, seconds: float) -> tuple[list[float], float]:
    """Run a runtime without a pause from as many threads as it has slots.

    Returns:
        The time of each run, and the time that all of them took together, in seconds.
    """
    taken: list[float] = []
    begun = time.perf_counter()

    def work() -> None:
        while True:
            start = time.perf_counter()
            runtime.run(pixels)
            end = time.perf_counter()
            taken.append(end - start)
            if end - begun >= seconds:
                return

    others = [threading.Thread(target=work) for _ in range(runtime.slots - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    return taken, time.perf_counter() - begun


def overall(measurements: Iterable[Measurement]) -> dict[str, float]:
    """One figure a variant: the geometric mean of images a second over the batch sizes."""
    rates: dict[str, list[float]] = {}
    for row in measurements:
        rates.setdefault(row.variant, []).append(row.images_per_second)
    return {
        name: math.exp(statistics.fmean(math.log(rate) for rate in found))
        for name, found in rates.items()
    }


def rank(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """Names of the variants, fastest overall first."""
    figures = overall(measurements)
    return tuple(sorted(figures, key=lambda name: -figures[name]))


def load_all(
    bundle: Bundle, threads: int | None = None, names: Iterable[str] | None = None
) -> tuple[dict[str, Runtime], dict[str, str]]:
    """Load the variants of a bundle that can run here.

    Args:
        bundle: A verified bundle.
        threads: Threads a runtime; None takes what the process may use.
        names: Variants to load; None takes all of them.

    Returns:
        The runtimes by name, and for each variant that cannot run the reason.
    """
    wanted: list[Variant] = [
        variant for variant in bundle.manifest.variants if names is None or variant.name in names
    ]
    reasons = {variant.name: unavailable_reason(variant) for variant in wanted}
    runtimes = {
        variant.name: load_runtime(bundle.folder, variant, threads)
        for variant in wanted
        if reasons[variant.name] is None
    }
    return runtimes, {name: reason for name, reason in reasons.items() if reason}


def measure_bundle(bundle: Bundle, threads: int | None = None) -> SpeedTable:
    """Measure those variants of a bundle that may be chosen and can run here."""
    runtimes, _ = load_all(bundle, threads, bundle.manifest.ranking)
    return table_of(measure(runtimes), threads)


def table_of(measurements: tuple[Measurement, ...], threads: int | None = None) -> SpeedTable:
    """Measurements with the machine that they were made on."""
    return SpeedTable(machine=this_machine(threads), measurements=measurements)


def faster_than_chosen(table: SpeedTable, chosen: str) -> str | None:
    """Describe a variant that is clearly faster than the chosen one.

    Returns:
        One sentence for a log, or None.
    """
    figures = overall(table.measurements)
    best = max(figures, key=lambda name: figures[name], default=chosen)
    if chosen not in figures or figures[best] < NOTEWORTHY * figures[chosen]:
        return None
    return (
        f"{best} runs {figures[best] / figures[chosen]:.2f} times as fast as the variant in use, "
        f"{chosen}, on this machine; `cxr bench runtimes` prints the table, "
        f"CXR_RUNTIME and CXR_PRECISION choose"
    )


def choice_warning(
    bundle: Bundle, chosen: str, threads: int | None = None, *, measured: bool
) -> str | None:
    """The warning that a service logs at its start about its variant, if any.

    Args:
        bundle: What is served.
        chosen: Name of its variant in use.
        threads: Of the runtime.
        measured: Whether to measure where the bundle was tuned on another kind of machine; on the
            same kind its record stands.
    """
    record = bundle.manifest.speed
    if record is not None and record.machine == this_machine(threads):
        return faster_than_chosen(record, chosen)
    return faster_than_chosen(measure_bundle(bundle, threads), chosen) if measured else None
