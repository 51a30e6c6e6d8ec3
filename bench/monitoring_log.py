"""What the log of numbers costs: throughput with it and without it.

    python -m bench.monitoring_log

32 clients; a service with the log and one without take turns (`bench.windows`). Beside it, what
handing a row over and writing it take of a processor's time.
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from bench.windows import CLIENTS, both, failures, ratio
from export.demo.phantom import make_phantom
from service.network.predictor import open_predictor
from service.serving.monitoring_log import ROWS_A_FILE, MonitoringLog
from service.serving.monitoring_row import row
from service.settings import read_settings

ANSWERS = 100


@click.command()
@click.option("--bundle", default="models/demo", show_default=True, metavar="DIR")
@click.option("--seconds", default=5.0, show_default=True, help="Of a window.")
@click.option("--pairs", default=12, show_default=True, help="Of windows.")
def main(bundle: str, seconds: float, pairs: int) -> None:
    """Print both."""
    with tempfile.TemporaryDirectory(prefix="cxr-bench-") as temporary:
        folder = Path(temporary)
        given = {"CXR_BUNDLE": str(Path(bundle).resolve())}
        logged = {"CXR_MONITORING_LOG": str(folder / "numbers")}
        with both(folder, given, logged) as services:
            found = services.windows(pairs, clients=CLIENTS, seconds=seconds)
        click.echo(
            f"{CLIENTS} clients, {pairs} pairs of windows: with / without the log: throughput "
            f"{ratio(found, 'throughput')} of "
            f"{np.median([pair.without['throughput'] for pair in found]):.0f}/s, p99 "
            f"{ratio(found, 'latency_ms', '200', 'p99')}; {failures(found)} failed or wrong"
        )
        _processor_time(bundle, folder / "alone")


def _processor_time(bundle: str, folder: Path) -> None:
    """Print the CPU time of a row beside that of an answer; other work does not count."""
    predictor = open_predictor(read_settings(bundle=bundle, threads=1))
    buffer = io.BytesIO()
    levels = np.rint(make_phantom(1, opacity=True).pixels * 255).astype(np.uint8)
    Image.fromarray(levels).save(buffer, "JPEG")
    data = buffer.getvalue()
    answer, source = predictor.predict(data), predictor.prepare(data).source
    started = time.process_time()
    for _ in range(ANSWERS):
        predictor.predict(data)
    answering = (time.process_time() - started) / ANSWERS
    log = MonitoringLog(folder, predictor.manifest.labels, flush_seconds=3600)
    handed = time.thread_time()
    for _ in range(ROWS_A_FILE - 1):
        log.put(source, answer)
    handing = (time.thread_time() - handed) / (ROWS_A_FILE - 1)
    log.close()
    rows = [row(time.time(), source, answer)] * ROWS_A_FILE
    started = time.process_time()
    log._write("2026-01-01", rows)
    writing = (time.process_time() - started) / ROWS_A_FILE
    click.echo(
        f"An answer {answering * 1e6:.0f} µs of CPU time; handing its row over "
        f"{handing * 1e6:.1f} µs, writing it {writing * 1e6:.1f} µs: "
        f"{100 * (handing + writing) / answering:.2f} %"
    )


if __name__ == "__main__":
    main()
