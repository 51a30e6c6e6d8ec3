"""Whether a variant changes a decision: every variant of a bundle against the library.

    python -m bench.decisions --bundle models/demo --images DIR --before

compares on the radiographs of a folder and on 400 phantoms that neither training, nor
calibration, nor the export's own comparison has seen, and then puts images into random batches to
see whether their answers depend on the neighbours. With --before the 8-bit network is also shown
as NNCF makes it by default, and with the settings that keep it alive but its own ranges.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import openvino

from export.bundle.calibration import gather_calibration
from export.bundle.check_images import CheckImages, folder, phantoms
from export.bundle.drift import drift
from export.bundle.parity import eager_reference, run_over
from export.bundle.quantise import advanced_parameters, kept_in_float, read_network
from export.checkpoints.eager import eager_network
from export.checkpoints.weights import Weights, load_weights
from service.network.bundle import Bundle, open_bundle
from service.network.runtime import Runtime, load_runtime, unavailable_reason
from service.network.scores import OPERATING_POINT, op_norm, sigmoid

SEEDS = range(50_000, 50_200)
BATCHES = 20
LARGEST = 16


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("models/demo"))
@click.option("--images", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--before", is_flag=True, help="Show 8 bits before they were tamed too.")
@click.option("--only", multiple=True, help="Variants to compare [default: all].")
@click.option("--weights", default="demo")
def main(bundle: Path, images: Path, before: bool, only: tuple[str, ...], weights: str) -> None:
    """Compare and print."""
    opened = open_bundle(bundle)
    loaded = load_weights(weights)
    drawn, real = phantoms(SEEDS), folder(images)
    evidence = CheckImages(
        np.concatenate([drawn.pixels, real.pixels]),
        drawn.names + real.names,
        real.refused,
        drawn.positive + real.positive,
        drawn.drawn,
    )
    reference = eager_reference(eager_network(loaded), evidence)
    for name, runtime in _runtimes(opened, before, only):
        outputs = run_over(runtime, evidence, 8)
        for found in drift(outputs, reference, evidence, loaded.labels, loaded.operating_points):
            area = found.auc
            near = sorted(round(change.distance, 4) for change in found.changed)
            click.echo(
                f"{name}, {found.images} {found.group}: |probability difference| max "
                f"{found.max_probability:.4f} mean {found.mean_probability:.5f}, |logit "
                f"difference| max {found.max_logit:.3f}, noise of the features "
                f"{found.feature_noise:.3f}, changed decisions {len(near)}"
                + (f", the furthest {near[-1]} from the operating point" if near else "")
                + (
                    f", AUC {area.difference:+.5f} ({area.low:+.5f} to {area.high:+.5f})"
                    if area
                    else ""
                )
            )
        apart, changed = _between_batches(runtime, real, loaded)
        click.echo(
            f"{name}, alone and inside {BATCHES} random batches of 2 to {LARGEST}: |logit "
            f"difference| max {apart:.3g}, {changed} changed decisions"
        )


def _runtimes(bundle: Bundle, before: bool, only: tuple[str, ...]) -> Iterator[tuple[str, Runtime]]:
    for variant in bundle.manifest.variants:
        if unavailable_reason(variant) is None and (not only or variant.name in only):
            yield variant.name, load_runtime(bundle.folder, variant)
    if before:
        int8 = bundle.manifest.variant("openvino", "int8")
        network = read_network(bundle.path("network.onnx"))
        for name, model in _untamed(network):
            with TemporaryDirectory() as place:
                openvino.save_model(model, Path(place) / int8.files[0])
                yield name, load_runtime(Path(place), _unproven(int8))


def _unproven(variant: Any) -> Any:
    """The same variant, unproven."""
    return variant.model_copy(update={"golden_tolerance": 1.0})


def _untamed(network: Any) -> Iterator[tuple[str, Any]]:
    import nncf

    nncf.set_log_level(logging.ERROR)
    images = gather_calibration(None).plain
    dataset = nncf.Dataset([image[None] for image in images])
    steps: dict[str, dict[str, Any]] = {
        "8 bits, NNCF's defaults": {},
        "8 bits, NNCF's ranges": {
            "ignored_scope": nncf.IgnoredScope(names=kept_in_float(network)),
            "advanced_parameters": advanced_parameters(8),
        },
    }
    for name, settings in steps.items():
        with redirect_stdout(io.StringIO()):
            model = nncf.quantize(network.clone(), dataset, subset_size=len(images), **settings)
        yield name, model


def _between_batches(runtime: Runtime, images: CheckImages, weights: Weights) -> tuple[float, int]:
    """Largest |logit difference| of an image between batches, and decisions that it changed."""
    rng = np.random.default_rng(0)
    points = np.array(weights.operating_points, np.float32)
    named = [index for index, label in enumerate(weights.labels) if label]
    apart, changed = 0.0, 0
    for _ in range(BATCHES):
        taken = rng.permutation(len(images.names))[: rng.integers(2, LARGEST + 1)]
        together = runtime.run(images.pixels[taken]).logits
        alone = np.concatenate([runtime.run(images.pixels[[one]]).logits for one in taken])
        apart = max(apart, float(np.abs(together - alone)[:, named].max()))
        decisions = [
            op_norm(sigmoid(logits), points) > OPERATING_POINT for logits in (together, alone)
        ]
        changed += int((decisions[0] != decisions[1])[:, named].sum())
    return apart, changed


if __name__ == "__main__":
    main()
