"""Scoring the files of a shard, for every engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.archive.listing import Task
from service.archive.pipeline import Outcome, own_fault, score_each
from service.archive.reports import FHIR_SUFFIX, SUFFIX, fhir_report, report, report_name
from service.archive.rows import Row, columns, refused, scored, to_line
from service.archive.sources import Source
from service.errors import CxrError
from service.network.predictor import Predictor


@dataclass(frozen=True)
class Shard:
    """The results of consecutive files.

    Attributes:
        number: From 0.
        lines: One a file, in order, as `service.archive.rows.to_line` writes them.
        reports: Structured reports by their names.
    """

    number: int
    lines: tuple[bytes, ...]
    reports: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Scoring:
    """Settings for scoring files.

    Attributes:
        decoders: Threads that read and decode.
        max_batch: Files whose images are run at once.
        target: The finding that structured reports are about; None where none are written.
        fhir: Whether reports are FHIR resources, of all findings, in place of structured reports.
    """

    decoders: int
    max_batch: int
    target: str | None = None
    fhir: bool = False


def score_tasks(
    predictor: Predictor,
    tasks: Iterable[Task],
    scoring: Scoring,
    on_file: Callable[[], None] = lambda: None,
) -> Iterator[Shard]:
    """Score the files of several shards without a pause between them.

    Args:
        predictor: The bundle, its runtime and how files are read.
        tasks: Which files; every shard but the last of all is of whole batches.
        scoring: How.
        on_file: Called as each file is done.
    """
    begun: deque[Task] = deque()

    def files() -> Iterator[Path]:
        for task in tasks:
            begun.append(task)
            yield from (Path(source.path) for source in task.sources)

    outcomes = score_each(
        predictor, files(), decoders=scoring.decoders, max_batch=scoring.max_batch
    )
    made = columns(predictor.manifest.labels, scoring.target is not None, predictor.fitted)
    lines: list[bytes] = []
    reports: dict[str, bytes] = {}
    for outcome in outcomes:
        task = begun[0]
        row = _row(predictor, task.sources[len(lines)], outcome, scoring, reports)
        lines.append(to_line(row, made))
        on_file()
        if len(lines) == len(task.sources):
            begun.popleft()
            yield Shard(task.number, tuple(lines), reports)
            lines, reports = [], {}


def _row(
    predictor: Predictor,
    source: Source,
    outcome: Outcome,
    scoring: Scoring,
    reports: dict[str, bytes],
) -> Row:
    fault, name = outcome.fault, None
    target = scoring.target
    if outcome.evidence is not None and outcome.prediction is not None and target is not None:
        limits = predictor.reader.limits
        try:
            if scoring.fhir:
                made = fhir_report(source, outcome.prediction, limits)
            else:
                evidence, warnings = outcome.evidence, outcome.prediction.warnings
                manifest, model, site = predictor.manifest, predictor.model, predictor.site
                made = report(source, evidence, target, manifest, model, limits, warnings, site)
            name = report_name(source, FHIR_SUFFIX if scoring.fhir else SUFFIX)
            reports[name] = made
        except CxrError as error:
            fault = error
        except Exception as error:
            fault = own_fault(error)
    if fault is not None or outcome.prediction is None:
        return refused(source, fault or CxrError("There is no answer."), predictor.model)
    return scored(source, outcome.prediction, name)
