"""What the log of numbers costs an answer, in CPU time.

    python -m bench.monitoring_log

CPU time of handing a row over and of writing it, beside that of an answer: decoding one 224-pixel
image and one run of the network. Other work on the machine does not count.
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from export.demo.phantom import make_phantom
from service.network.predictor import open_predictor
from service.serving.monitoring_log import ROWS_A_FILE, MonitoringLog
from service.serving.monitoring_row import row
from service.settings import read_settings

ANSWERS = 100


def main() -> None:
    """Print both, and their ratio."""
    predictor = open_predictor(read_settings(threads=1))
    buffer = io.BytesIO()
    levels = np.rint(make_phantom(1, opacity=True).pixels * 255).astype(np.uint8)
    Image.fromarray(levels).save(buffer, "JPEG")
    data = buffer.getvalue()
    answer, source = predictor.predict(data), predictor.prepare(data).source
    started = time.process_time()
    for _ in range(ANSWERS):
        predictor.predict(data)
    answering = (time.process_time() - started) / ANSWERS
    with tempfile.TemporaryDirectory() as folder:
        log = MonitoringLog(Path(folder), predictor.manifest.labels, flush_seconds=3600)
        handed = time.thread_time()
        for _ in range(ROWS_A_FILE - 1):
            log.put(source, answer)
        handing = (time.thread_time() - handed) / (ROWS_A_FILE - 1)
        log.close()
        rows = [row(time.time(), source, answer)] * ROWS_A_FILE
        started = time.process_time()
        log._write("2026-01-01", rows)
        writing = (time.process_time() - started) / ROWS_A_FILE
    Console().print(
        f"An answer {answering * 1e6:.0f} µs of CPU time; handing its row over "
        f"{handing * 1e6:.1f} µs, writing it {writing * 1e6:.1f} µs: "
        f"{100 * (handing + writing) / answering:.2f} %"
    )


if __name__ == "__main__":
    main()
