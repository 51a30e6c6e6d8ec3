"""One calibration from its arguments to its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from export.errors import DatasetRefused, FitRefused
from export.evaluation.dataset import Dataset
from export.evaluation.evaluation import parts_of
from export.evaluation.records import Data
from export.evaluation.run import progress_bars, read_dataset, score_dataset
from export.evaluation.scoring import Scored
from export.site.fit import fit
from export.site.judged import judged_finding
from export.site.page import write_page
from export.site.patients import EACH_ITS_OWN, require_apart, split
from export.site.records import Asked, FittedFinding, LeftOut, Report
from export.site.sides import side
from export.site.summary import print_summary
from service import __version__
from service.commands.finding import finding_named
from service.durable import write_whole
from service.network.answer import DEMO_WARNING
from service.network.bundle import Manifest
from service.network.predictor import open_predictor
from service.network.site import SiteData, SiteFile
from service.settings import Settings


@dataclass(frozen=True, eq=False)
class Sides:
    """The scored images, parted.

    Attributes:
        fitted: Those that are fitted on.
        judged: Those that are judged on.
        datasets: That each came from.
    """

    fitted: Scored
    judged: Scored
    datasets: tuple[Dataset, Dataset]


def run(
    data: Path,
    judge: Path | None,
    out: Path,
    findings: Sequence[str],
    asked: Asked,
    settings: Settings,
) -> None:
    """Score a site's radiographs, fit to some patients, judge on others, and write what was found.

    Raises:
        SetupFault: The bundle or the data are not to be used, or too few; the message says why.
    """
    predictor = open_predictor(settings)
    manifest = predictor.manifest
    named = manifest.named()
    datasets = [read_dataset(one, named) for one in (data, judge) if one is not None]
    with progress_bars() as progress:
        scored = [score_dataset(progress, one.name, predictor, one, settings) for one in datasets]
    column = asked.patient_column
    fitted, judged = split(scored[0], column) if judge is None else (scored[0], scored[1])
    require_apart(fitted, judged, column)
    sides = Sides(fitted, judged, (datasets[0], datasets[-1]))
    wanted = [finding_named(one, named) for one in findings]
    fits, left_out = _fit_each(sides, wanted, asked, manifest)
    file = _site_file(sides, fits, asked, manifest)
    report = _report(sides, fits, left_out, asked, file)
    write_whole(out, file.model_dump_json(indent=2).encode() + b"\n")
    write_whole(out.with_suffix(".report.json"), report.model_dump_json(indent=2).encode() + b"\n")
    write_whole(out.with_suffix(".html"), write_page(report).encode())
    print_summary(report, out, Console(highlight=False, soft_wrap=True))


def _fit_each(
    sides: Sides, wanted: Sequence[str], asked: Asked, manifest: Manifest
) -> tuple[list[FittedFinding], list[LeftOut]]:
    """Fit what was named, or all that is labelled and can be fitted.

    Raises:
        FitRefused: A finding that was named cannot be fitted, or none can be.
    """
    points = dict(zip(manifest.labels, manifest.operating_points, strict=True))
    both = [one for one in sides.fitted.pathologies if one in sides.judged.pathologies]
    if strangers := [label for label in wanted if label not in both]:
        raise DatasetRefused(f"{strangers[0]} is not labelled; labelled are {', '.join(both)}")
    fits: list[FittedFinding] = []
    left_out: list[LeftOut] = []
    for label in wanted or both:
        try:
            fits.append(_fit_one(sides, label, asked, points[label]))
        except FitRefused as fault:
            if wanted:
                raise FitRefused(f"{label}: {fault.message}") from fault
            left_out.append(LeftOut(label=label, reason=fault.message))
    if not fits:
        raise FitRefused("; ".join(f"{one.label}: {one.reason}" for one in left_out))
    return fits, left_out


def _fit_one(sides: Sides, label: str, asked: Asked, published: float | None) -> FittedFinding:
    column = asked.patient_column
    fitted = side("fitted on", sides.fitted, label, column)
    judged = side("judged on", sides.judged, label, column)
    site, found = fit(fitted, judged, asked)
    known = sides.judged.known(label)
    parts: dict[str, list[str]] = {
        name: [value for value, counts in zip(values, known, strict=True) if counts]
        for name, values in parts_of(sides.judged)[0].items()
        if name != column
    }
    return judged_finding(label, site, found, judged, published, parts)


def _site_file(
    sides: Sides, fits: Sequence[FittedFinding], asked: Asked, manifest: Manifest
) -> SiteFile:
    return SiteFile(
        bundle=manifest.name,
        version=manifest.version,
        weights_sha256=manifest.weights.sha256,
        variant=sides.fitted.model.variant,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        by=asked.by,
        software=__version__,
        data=SiteData(
            name=sides.datasets[0].name,
            sha256=sides.fitted.digest,
            judged_sha256=sides.judged.digest,
            patient_column=asked.patient_column,
        ),
        findings={one.label: one.site for one in fits},
    ).sealed()


def _report(
    sides: Sides,
    fits: Sequence[FittedFinding],
    left_out: Sequence[LeftOut],
    asked: Asked,
    file: SiteFile,
) -> Report:
    warnings = [] if asked.patient_column else [EACH_ITS_OWN]
    if sides.fitted.model.demo:
        warnings.insert(0, DEMO_WARNING)
    data: list[dict[str, Any]] = [
        {
            "name": dataset.name,
            "kind": dataset.kind,
            "files": len(scored.images) + len(scored.refused),
            "scored": len(scored.images),
            "sha256": scored.digest,
            "left_out": dataset.left_out,
        }
        for dataset, scored in zip(sides.datasets, (sides.fitted, sides.judged), strict=True)
    ]
    refused = {one.file: one for one in (*sides.fitted.refused, *sides.judged.refused)}
    return Report(
        created=file.created,
        software=__version__,
        site_sha256=file.sha256,
        model=sides.fitted.model,
        fitted=Data(**data[0]),
        judged=Data(**data[1]),
        asked=asked,
        findings=tuple(fits),
        left_out=tuple(left_out),
        refused=tuple(refused.values()),
        warnings=tuple(warnings),
    )
