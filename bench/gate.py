"""What the gate sees: other images, altered radiographs, false alarms, precisions.

    CXR_XRAYS=FOLDER python -m bench.gate [--bundle models/demo]

The reference is fitted on `calibration` alone, by its own thresholds; `dev` and `other` judge it.
The classifier of lateral views is trained and judged leaving one out. Last, references fitted on
parts of both, and the distances of the other variants of the bundle.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from bench.exposure import ALTERATIONS, measured
from export.reference.fit import (
    PopulationImages,
    fit_reference,
    held_out_alarms,
    measure,
    run_features,
)
from export.reference.run import float32_runtime
from service.network.bundle import Manifest, open_bundle
from service.network.gate import FAR, Gate, Judgement
from service.network.reference import Reference
from service.network.runtime import load_runtime, unavailable_reason
from service.network.scores import OPERATING_POINT, op_norm, sigmoid
from service.radiograph.decode import decode
from service.radiograph.exposure import Reason
from service.radiograph.preprocess import preprocess
from service.radiograph.radiograph import Radiograph

ALARM_RATE = 0.01
COUNTS = (50, 100, 200, 256)
REPETITIONS = 20


def turned(radiograph: Radiograph, change: Callable[[np.ndarray], np.ndarray]) -> Radiograph:
    """A radiograph whose pixels are moved or changed in place."""
    pixels = np.ascontiguousarray(change(radiograph.pixels))
    rows, columns = pixels.shape
    return replace(
        radiograph,
        pixels=pixels,
        source=replace(radiograph.source, width=columns, height=rows),
    )


MOVED: dict[str, tuple[str | None, Callable[[Radiograph], Radiograph]]] = {
    "turned by 90 degrees": ("turned_90", lambda r: turned(r, lambda p: np.rot90(p, -1))),
    "turned by 180 degrees": ("turned_180", lambda r: turned(r, lambda p: np.rot90(p, 2))),
    "turned by 270 degrees": ("turned_270", lambda r: turned(r, np.rot90)),
    "inverted": (
        "inverted",
        lambda r: turned(r, lambda p: (r.white - p).astype(p.dtype)),
    ),
    "mirrored": (None, lambda r: turned(r, lambda p: p[:, ::-1])),
}


@dataclass(frozen=True, eq=False)
class Images:
    """Images ready for the network, with what was measured before it.

    Attributes:
        pixels: float32 (N, 1, 224, 224) in [0, 1].
        exposure: Reasons of each.
        blank: Whether each is refused before the network.
        features: float32 (N, 2560).
        logits: float32 (N, 18).
    """

    pixels: np.ndarray
    exposure: list[tuple[Reason, ...]]
    blank: list[bool]
    features: np.ndarray
    logits: np.ndarray


def measured_and_run(radiographs: list[Radiograph], runtime: object) -> Images:
    """Measure radiographs and run them."""
    found = [measured(each) for each in radiographs]
    pixels = np.stack([preprocess(each).pixels for each in radiographs])
    outputs = [runtime.run(pixels[at : at + 8]) for at in range(0, len(pixels), 8)]  # type: ignore[attr-defined]
    return Images(
        pixels,
        [each.reasons for each in found],
        [each.blank is not None for each in found],
        np.concatenate([each.features for each in outputs]),
        np.concatenate([each.logits for each in outputs]),
    )


def read(folder: Path) -> list[Radiograph]:
    """Decode every image below a folder."""
    return [decode(path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]


def judge(reference: Reference, images: Images) -> list[Judgement]:
    """Judge images as the service does."""
    gate = Gate(reference)
    judged = [gate.judge(*each) for each in zip(images.features, images.exposure, strict=True)]
    return [
        replace(each, verdict="refused") if blank else each
        for each, blank in zip(judged, images.blank, strict=True)
    ]


def shares(judged: list[Judgement]) -> list[str]:
    """Usual, warned of and refused, in per cent."""
    counts = Counter(each.verdict for each in judged)
    return [f"{100 * counts[name] / len(judged):.1f}" for name in ("usual", "unusual", "refused")]


def distances(reference: Reference, features: np.ndarray) -> np.ndarray:
    """From the first population."""
    return reference.populations[0].distances(features)


def groups(reference: Reference, dev: Images, others: dict[str, Images], console: Console) -> None:
    """Print each group's verdicts, and how well its distances are told from those of dev."""
    table = Table("images", "n", "usual %", "warned of %", "refused %", "AUROC", "reasons")
    near = distances(reference, dev.features)
    for name, images in {"radiographs of children": dev, **others}.items():
        far = distances(reference, images.features)
        truth = np.repeat([0, 1], [len(near), len(far)])
        area = "" if images is dev else f"{roc_auc_score(truth, np.r_[near, far]):.3f}"
        judged = judge(reference, images)
        reasons = Counter(code for each in judged for code in each.reasons if code != FAR)
        named = ", ".join(f"{code} {count}" for code, count in reasons.most_common(4))
        table.add_row(name, str(len(judged)), *shares(judged), area, named)
    console.print(table)


def laterals(first: PopulationImages, manifest: Manifest, views: np.ndarray, dev: Images) -> str:
    """How many lateral views are named when each is left out, and how many of dev are."""
    named = not_usual = 0
    for index in range(len(views)):
        rest = np.delete(views, index, axis=0)
        judgement = Gate(fit_reference([first], manifest, ALARM_RATE, rest)).judge(views[index])
        named += "lateral" in judgement.reasons
        not_usual += judgement.verdict != "usual"
    gate = Gate(fit_reference([first], manifest, ALARM_RATE, views))
    wrong = sum("lateral" in gate.judge(row).reasons for row in dev.features)
    return (
        f"Laterals, each left out: {not_usual} of {len(views)} not usual, {named} named lateral; "
        f"of {len(dev.features)} frontal ones {wrong} named lateral"
    )


def alterations(
    reference: Reference,
    radiographs: list[Radiograph],
    as_they_are: Images,
    runtime: object,
    manifest: Manifest,
    console: Console,
) -> None:
    """Print what becomes of altered radiographs and of the decisions on those that pass."""
    output = manifest.labels.index("Pneumonia")
    point = np.float32(manifest.thresholds()[output])

    def positive(logits: np.ndarray) -> np.ndarray:
        return op_norm(sigmoid(logits[:, output]), np.full(len(logits), point)) > OPERATING_POINT

    before = positive(as_they_are.logits)
    table = Table(
        "alteration", "usual %", "warned of %", "refused %", "right reason %", "changed decisions"
    )
    changes = {name: (each.code, each) for name, each in ALTERATIONS.items()} | MOVED
    for name, (code, change) in changes.items():
        images = measured_and_run([change(each) for each in radiographs], runtime)
        judged = judge(reference, images)
        right = sum(code in each.reasons for each in judged) / len(judged)
        after = positive(images.logits)
        passing = [each.verdict == "usual" for each in judged]
        wrong = sum(p and a != b for p, a, b in zip(passing, after, before, strict=True))
        table.add_row(
            name,
            *shares(judged),
            f"{100 * right:.1f}" if code else "",
            f"{wrong} of {sum(passing)} that pass",
        )
    console.print(table)


def counts(
    images: PopulationImages, manifest: Manifest, views: np.ndarray, console: Console
) -> None:
    """Print false alarms on the other images, by how many are fitted on."""
    table = Table("fitted on", "others that are not usual %", "5 % to 95 %")
    for count in COUNTS:
        share = count / len(images.features)
        rates = [
            held_out_alarms([images], manifest, ALARM_RATE, seed, share, views)
            for seed in range(REPETITIONS)
        ]
        low, high = np.quantile(rates, (0.05, 0.95))
        table.add_row(
            str(count), f"{100 * np.mean(rates):.2f}", f"{100 * low:.2f} to {100 * high:.2f}"
        )
    console.print(table)


def precisions(
    folder: Path, manifest: Manifest, reference: Reference, images: Images, console: Console
) -> None:
    """Print how far the distances of every variant are from those in float32."""
    table = Table("variant", "images", "mean |difference|", "largest", "changed verdicts")
    gate = Gate(reference)
    ours = [gate.judge(row) for row in images.features]
    for variant in manifest.variants:
        if unavailable_reason(variant):
            continue
        features = run_features(load_runtime(folder, variant), images.pixels)
        theirs = [gate.judge(row) for row in features]
        apart = [abs(a.distance / b.distance - 1) for a, b in zip(theirs, ours, strict=True)]  # type: ignore[operator]
        changed = sum(a.verdict != b.verdict for a, b in zip(theirs, ours, strict=True))
        table.add_row(
            variant.name,
            str(len(ours)),
            f"{100 * np.mean(apart):.2f} %",
            f"{100 * max(apart):.2f} %",
            str(changed),
        )
    console.print(table)


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("models/demo"))
def main(bundle: Path) -> None:
    """Print everything."""
    folder, console = Path(os.environ["CXR_XRAYS"]), Console(width=150)
    opened = open_bundle(bundle)
    manifest, runtime = opened.manifest, float32_runtime(opened)
    fitted_on, judging = read(folder / "calibration"), read(folder / "dev")
    calibration = measured_and_run(fitted_on, runtime)
    dev = measured_and_run(judging, runtime)
    others = {
        each.name: measured_and_run(read(each), runtime)
        for each in sorted((folder / "other").iterdir())
    }
    views = others["lateral"].features
    with threadpool_limits(1):
        first = measure("calibration", calibration.pixels, runtime)
        reference = fit_reference([first], manifest, ALARM_RATE, views)
        console.print(reference.record.populations[0])
        groups(reference, dev, others, console)
        console.print(laterals(first, manifest, views, dev))
        alterations(reference, judging, dev, runtime, manifest, console)
        alterations(reference, fitted_on, calibration, runtime, manifest, console)
        everything = measure("all", np.concatenate([calibration.pixels, dev.pixels]), runtime)
        counts(everything, manifest, views, console)
        rows = [dev, calibration, *others.values()]
        together = Images(
            np.concatenate([each.pixels for each in rows]),
            [],
            [],
            np.concatenate([each.features for each in rows]),
            np.empty(0),
        )
        precisions(bundle, manifest, reference, together, console)


if __name__ == "__main__":
    main()
