"""The way of the seed: a script, eager PyTorch, TorchXRayVision's own preprocessing, no server.

As TorchXRayVision's README has it: `load_image`, `XRayCenterCrop` and `XRayResizer`, one image
after another through the library's network in eager mode. In its favour: `inference_mode`, and a
thread for each core (`PEER_THREADS`). Prints JSON.
"""

from __future__ import annotations

import json
import time
from itertools import cycle
from pathlib import Path

import click
import psutil

from bench.peers.network import CORES, knob
from bench.tally import milliseconds


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seconds", default=4.0, show_default=True)
def main(images: tuple[Path, ...], seconds: float) -> None:
    """Score IMAGES one after another, again and again."""
    import torch

    from bench.upstream import demo_network
    from export.checkpoints.upstream import library

    torch.set_num_threads(knob("THREADS", CORES))
    network = demo_network()
    crop, resize = library.datasets.XRayCenterCrop(), library.datasets.XRayResizer(224)

    def score(path: Path) -> list[float]:
        image = resize(crop(library.utils.load_image(str(path))))
        with torch.inference_mode():
            return network(torch.from_numpy(image)[None].float())[0].tolist()

    score(images[0])
    ready = time.time() - psutil.Process().create_time()
    took: list[float] = []
    began = time.monotonic()
    for path in cycle(images):
        before = time.monotonic()
        score(path)
        took.append(time.monotonic() - before)
        if time.monotonic() - began > seconds:
            break
    report = {
        "start_seconds": ready,
        "throughput": len(took) / (time.monotonic() - began),
        "latency_ms": milliseconds(took),
        "memory": psutil.Process().memory_full_info().pss / (1 << 20),
    }
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
