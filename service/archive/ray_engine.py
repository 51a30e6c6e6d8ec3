"""The engine of a Ray cluster: Ray Data hands shards to actors, each of which holds a runtime.

Every worker must reach the files and the bundle under the paths that they have here, as on a
shared file system, and have this package installed. A worker that dies is started again and its
shard done again; the rows come here, and this process alone writes results. Nothing is reported
to Ray's makers and no dashboard is started.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

# Read by Ray when it is imported, here and in the processes that it starts.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # no folder is sent to workers
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # on standard error; its files have it all
# What Ray will do by itself from some release on; said here, it does not warn about it.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.data

from service.archive.listing import Task
from service.archive.local_engine import scoring
from service.archive.pins import software_version
from service.archive.shards import Scoring, Shard, score_tasks
from service.archive.sources import Source
from service.errors import ArchiveRefused, BundleRefused
from service.network.answer import ModelAnswer
from service.network.predictor import open_predictor
from service.network.runtime.threads import usable_cpus
from service.settings import Settings

_OBJECT_STORE = 256 << 20
"""Bytes of the object store of a local cluster: lists of files go in, rows come out."""


@dataclass(frozen=True)
class Cluster:
    """Settings of the Ray cluster.

    Attributes:
        workers: Actors that each hold a runtime.
        address: Of a running cluster; None starts one on this machine for the length of the run.
    """

    workers: int
    address: str | None = None


class Worker:
    """A Ray actor with a runtime that scores shards.

    Args:
        settings: As `Settings.model_dump` has them.
        scoring: How files are worked on.
        model: What must answer here as it does where the run was started.
        software: What must work here as it does there, as `software_version` has it.

    Raises:
        ArchiveRefused: The software here is another one.
        BundleRefused: The bundle here is another one.
    """

    def __init__(
        self, settings: dict[str, Any], scoring: Scoring, model: ModelAnswer, software: str
    ) -> None:
        if software_version() != software:
            raise ArchiveRefused(
                f"a worker has {software_version()} of this software, not {software}"
            )
        self._predictor = open_predictor(Settings(**settings))
        self._scoring = scoring
        if self._predictor.model != model:
            raise BundleRefused(
                f"a worker has {self._predictor.model.version} of the bundle, not {model.version}"
            )

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        found = [
            shard
            for number, sources in zip(batch["number"], batch["sources"], strict=True)
            for shard in score_tasks(
                self._predictor, [_task(int(number), str(sources))], self._scoring
            )
        ]
        return {
            "number": [shard.number for shard in found],
            "rows": [b"".join(shard.lines) for shard in found],
            "reports": [_packed(shard.reports) for shard in found],
        }


class RayEngine:
    """Scores shards on a cluster and yields them as they finish.

    Args:
        cluster: Where.
        settings: Of the run.
        target: The finding that structured reports are about; None where none are written.
        model: What answers.
        fhir: Whether reports are FHIR resources.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        target: str | None,
        model: ModelAnswer,
        *,
        fhir: bool = False,
    ) -> None:
        self._fhir = fhir
        self._cluster = cluster
        self._settings = settings
        self._target = target
        self._model = model

    def __call__(self, tasks: Iterable[Task], advance: Callable[[int], None]) -> Iterator[Shard]:
        items = [
            {
                "number": task.number,
                "sources": json.dumps(task.sources),
            }
            for task in tasks
        ]
        if not items:
            return
        with _connected(self._cluster) as cpus:
            # One block a shard: a block is what is given to a worker, and done again if it dies.
            work = ray.data.from_items(items, override_num_blocks=len(items))
            done = work.map_batches(
                Worker,
                fn_constructor_kwargs=self._for_workers(cpus),
                batch_size=1,
                batch_format="numpy",
                # A worker that dies is started again, as often as it takes: Ray Data's default.
                compute=ray.data.ActorPoolStrategy(size=min(self._cluster.workers, len(items))),
                num_cpus=cpus if self._cluster.address else 1,
            )
            for row in done.iter_rows():
                lines = tuple(row["rows"].splitlines(keepends=True))
                yield Shard(row["number"], lines, _unpacked(row["reports"]))
                advance(len(lines))

    def _for_workers(self, cpus: int) -> dict[str, Any]:
        settings = self._settings.model_dump(mode="json", exclude_none=True)
        settings["bundle"] = _absolute(self._settings.bundle)
        if self._settings.site:
            settings["site"] = str(self._settings.site.absolute())
        settings.setdefault("threads", cpus)
        return {
            "settings": settings,
            "scoring": scoring(self._settings, self._target, cpus, fhir=self._fhir),
            "model": self._model,
            "software": software_version(),
        }


@contextmanager
def _connected(cluster: Cluster) -> Iterator[int]:
    """A cluster for as long as the work takes, and the CPUs that each worker has of it."""
    local = cluster.address is None
    options: dict[str, Any] = {"address": "local" if local else cluster.address}
    if local:
        # Workers share the real cores by their threads; one more CPU is what Ray's own tasks
        # are accounted to, which else would wait for a worker to leave.
        options |= {"num_cpus": cluster.workers + 1, "object_store_memory": _OBJECT_STORE}
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(log_to_driver=False, configure_logging=True, logging_level=logging.ERROR, **options)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in the place
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        for handler in logging.getLogger("ray.data").handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setLevel(logging.ERROR)
        total = usable_cpus() if local else int(ray.cluster_resources().get("CPU", 1)) - 1
        yield max(1, total // cluster.workers)
    finally:
        ray.shutdown()


def _absolute(bundle: str) -> str:
    return bundle if bundle.startswith("bento:") else os.path.abspath(bundle)  # noqa: PTH100


def _task(number: int, sources: str) -> Task:
    return Task(number, tuple(Source(*source) for source in json.loads(sources)))


def _packed(reports: dict[str, bytes]) -> str:
    return json.dumps({name: base64.b64encode(data).decode() for name, data in reports.items()})


def _unpacked(reports: str) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in json.loads(reports).items()}
