"""One evaluation from its arguments to its files, with progress on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from export.errors import DatasetRefused
from export.evaluation.dataset import Dataset, read_folders
from export.evaluation.evaluation import evaluate, write_predictions
from export.evaluation.mistakes import draw
from export.evaluation.page import write_page
from export.evaluation.records import Options
from export.evaluation.scoring import Scored, score
from export.evaluation.summary import print_summary
from export.evaluation.table import read_table
from export.evaluation.variants import named_apart, settings_of
from service.commands.finding import finding_named
from service.durable import write_whole
from service.network.predictor import Predictor, open_predictor
from service.settings import Settings


class _Rate(ProgressColumn):
    """Images a second, over the last of them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "")


def run(
    data: Path,
    out: Path,
    options: Options,
    declared: str | None,
    settings: Settings,
    compared: Sequence[str],
) -> None:
    """Score a dataset, by every variant that was asked for, and write what was found.

    Raises:
        SetupFault: The bundle, the dataset or a variant is not to be used; the message says why.
        UnknownTarget: The weights do not predict the target.
        click.BadParameter: A comparison names neither a variant nor a bundle.
    """
    beside = {asked: settings_of(asked, settings) for asked in compared}
    predictor = open_predictor(settings)
    named = predictor.manifest.named()
    options = options.model_copy(update={"target": finding_named(options.target, named)})
    dataset = _limited(_labelling(options.target, data, named), options)
    others = {name: open_predictor(one) for name, one in named_apart(beside).items()}
    out.mkdir(parents=True, exist_ok=True)
    with progress_bars() as progress:
        scored = score_dataset(progress, "scoring", predictor, dataset, settings)
        compared_scores = {
            name: score_dataset(progress, name, other, dataset, settings)
            for name, other in others.items()
        }
    report = evaluate(
        dataset,
        scored,
        predictor.manifest,
        options,
        declared,
        compared_scores,
        predictor.site.file if predictor.site else None,
    )
    pictures = draw(scored, options.target, report.target.mistakes, predictor.reader)
    write_predictions(scored, out / "predictions.csv")
    write_whole(out / "report.json", report.model_dump_json(indent=2).encode() + b"\n")
    write_whole(out / "report.html", write_page(report, pictures).encode())
    print_summary(report, out, Console(highlight=False, soft_wrap=True))


def read_dataset(data: Path, named: Sequence[str]) -> Dataset:
    """Read a folder or a table that labels findings which the weights name.

    Raises:
        DatasetRefused: It is neither, or labels something else.
    """
    dataset = read_folders(data) if data.is_dir() else read_table(data, named)
    if strangers := [label for label in dataset.pathologies if label not in named]:
        raise DatasetRefused(f"{data} labels {', '.join(strangers)}, which is not predicted")
    return dataset


def _labelling(target: str, data: Path, named: Sequence[str]) -> Dataset:
    dataset = read_dataset(data, named)
    if target not in dataset.pathologies:
        raise DatasetRefused(
            f"{data} does not label {target}; it labels {', '.join(dataset.pathologies)}"
        )
    return dataset


def _limited(dataset: Dataset, options: Options) -> Dataset:
    """The first images of each class of the target, where a limit was asked for."""
    if options.limit is None:
        return dataset
    taken: dict[bool | None, int] = {}
    images = []
    for image in dataset.images:
        shows = image.labels.get(options.target)
        taken[shows] = taken.get(shows, 0) + 1
        if shows is not None and taken[shows] <= options.limit:
            images.append(image)
    return replace(dataset, images=tuple(images))


def score_dataset(
    progress: Progress, name: str, predictor: Predictor, dataset: Dataset, settings: Settings
) -> Scored:
    """Score the pathologies that the dataset labels and these weights predict."""
    task = progress.add_task(name, total=len(dataset.images))
    named = predictor.manifest.named()
    pathologies = [label for label in dataset.pathologies if label in named]
    return score(predictor, dataset.images, pathologies, settings, lambda: progress.advance(task))


def progress_bars() -> Progress:
    """Bars on standard error, one a variant or side that is scored."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
