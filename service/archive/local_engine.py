"""The engine that scores in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from service.archive.listing import Task
from service.archive.shards import Scoring, Shard, score_tasks
from service.network.predictor import Predictor
from service.network.runtime.threads import usable_cpus
from service.settings import Settings


def scoring(
    settings: Settings, target: str | None, cpus: int | None = None, *, fhir: bool = False
) -> Scoring:
    """Settings for scoring in one process.

    Args:
        settings: `decoders` counts where it was set; the service's own number leaves a core to
            everything else that it does, an archive has every core for itself.
        target: The finding that structured reports are about; None where none are written.
        cpus: That the process may use; what it finds where left out.
        fhir: Whether reports are FHIR resources.
    """
    given = "decoders" in settings.model_fields_set
    decoders = settings.decoders if given else max(2, cpus or usable_cpus())
    return Scoring(decoders, settings.max_batch, target, fhir)


class LocalEngine:
    """Scores shards in order, without a pause between them."""

    def __init__(self, predictor: Predictor, scoring: Scoring) -> None:
        self._predictor = predictor
        self._scoring = scoring

    def __call__(self, tasks: Iterable[Task], advance: Callable[[int], None]) -> Iterator[Shard]:
        return score_tasks(self._predictor, tasks, self._scoring, lambda: advance(1))
