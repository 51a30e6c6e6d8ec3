"""Load of every kind on a service that is well: throughput, latency, overload, poison."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.drawn import SIZES, SMALL
from bench.figures import Figure, at_least, at_most, none_of
from bench.processes import EXPLAINER, PREDICTION, Generator, Served, measure_floor
from service.settings import Settings

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Setting:
    """What a scenario runs on.

    Attributes:
        served: The service.
        images: Files by the name of their size.
        folder: To write to.
        quick: Whether only to see that everything works.
        seed: Of arrivals and poison.
    """

    served: Served
    images: dict[str, list[Path]]
    folder: Path
    quick: bool
    seed: int

    def scaled(self, full: float, quick: float) -> float:
        """A duration or number, smaller for a quick pass."""
        return quick if self.quick else full

    @cached_property
    def limits(self) -> Settings:
        """The settings of the service, as it read them."""
        own = {
            name.removeprefix("CXR_").lower(): value
            for name, value in self.served.settings.items()
            if name.startswith("CXR_")
        }
        return Settings(**own)  # type: ignore[arg-type]

    def expected(self, size: str) -> Path:
        """The right answers for the files of a size: what each gets on its own."""
        file = self.folder / f"expected-{size.replace(' ', '-')}.json"
        if not file.exists():
            answers = Generator(f"{self.served.url}/predict", self.images[size], learn=True)
            file.write_text(json.dumps(answers.result()))
        return file

    def start(self, size: str = SMALL.name, path: str = "/predict", **options: object) -> Generator:
        """Start a load of the files of a size; predictions are compared with the right ones."""
        if path == "/predict":
            options.setdefault("expected", self.expected(size))
        return Generator(
            f"{self.served.url}{path}", self.images[size], **{"seed": self.seed, **options}
        )

    def load(self, size: str = SMALL.name, **options: Any) -> dict[str, Any]:
        """The same, and what came of it."""
        result: dict[str, Any] = self.start(size, **options).result()
        return result

    def floor(self, sizes: list[str]) -> dict[str, Any]:
        """What the runtime and the decoder do without HTTP, with the same settings."""
        files = [file for size in sizes for file in self.images[size]]
        seconds = self.scaled(5, 1)
        result: dict[str, Any] = measure_floor(files, seconds, self.served.settings)
        return result


Scenario = Callable[[Setting], list[Figure]]


def failed(report: dict[str, Any]) -> int:
    """Requests of a run that were not answered 200, wrong answers among them."""
    other = sum(count for status, count in report["by_status"].items() if status != "200")
    return int(other + sum(report["failures"].values()))


def throughput(setting: Setting) -> list[Figure]:
    """32 clients, three sizes, against the runtime and the decoder without HTTP."""
    floor = setting.floor([size.name for size in SIZES])
    figures = [Figure("runtime alone, batch 8", floor["batch_8_a_second"], unit="/s")]
    for size in SIZES:
        report = setting.load(size.name, clients=32, seconds=setting.scaled(15, 3))
        whole = floor["decode_and_run_a_second"][str(size.side)]
        of_what = "runtime" if size is SMALL else "decode + runtime"
        basis = floor["batch_8_a_second"] if size is SMALL else whole
        figures += [
            Figure(f"{size.name}: decode + runtime without HTTP", whole, unit="/s"),
            Figure(f"{size.name}: throughput", report["throughput"], unit="/s"),
            at_least(f"{size.name}: share of {of_what}", report["throughput"] / basis, 0.8),
            none_of(f"{size.name}: failed or wrong", failed(report)),
        ]
    cost = report["generator_cpu_ms_a_request"]
    return [*figures, Figure("generator's processor time a request, 4 MP", cost, unit="ms")]


def alone(setting: Setting) -> list[Figure]:
    """One client, and one client a second after a burst of 64."""
    floor = setting.floor([SMALL.name])
    basis = floor["batch_1_ms"] + floor["decode_ms"][str(SMALL.side)]
    seconds = setting.scaled(10, 2)
    quiet = setting.load(clients=1, seconds=seconds)["latency_ms"]["200"]["p50"]
    burst = setting.load(clients=64, seconds=setting.scaled(30, 3))
    time.sleep(1)
    after = setting.load(clients=1, seconds=seconds)["latency_ms"]["200"]["p50"]
    return [
        Figure("decode + runtime, batch 1", basis, unit="ms"),
        Figure("one client: p50", quiet, unit="ms"),
        at_most("one client: p50 / (decode + runtime)", quiet / basis, 1.5),
        Figure("burst of 64: throughput", burst["throughput"], unit="/s"),
        Figure("a lone client after it: p50", after, unit="ms"),
        at_most("a lone client after it: p50 / one client's", after / quiet, 1.1),
    ]


def many(setting: Setting) -> list[Figure]:
    """20,000 requests, every answer compared, and what is left in memory."""
    requests = int(setting.scaled(20_000, 300))
    first = requests // 20
    clients = int(setting.scaled(64, 16))
    before = setting.load(clients=clients, requests=first)
    held = setting.served.memory(PREDICTION)
    report = setting.load(clients=clients, requests=requests - first)
    end = setting.served.memory(PREDICTION)
    both = (before, report)
    return [
        Figure("requests", sum(run["requests"] for run in both)),
        none_of("failed", sum(failed(run) - run["failures"].get("wrong", 0) for run in both)),
        none_of("wrong", sum(run["failures"].get("wrong", 0) for run in both)),
        Figure("largest difference of a score", max(run["largest_difference"] for run in both)),
        Figure(f"memory after {first}", held / MEBIBYTE, unit="MiB"),
        Figure("memory after all", end / MEBIBYTE, unit="MiB"),
        at_most("memory, end / first", end / held, 1.1),
    ]


def overload(setting: Setting) -> list[Figure]:
    """Poisson arrivals at three times what the service can do."""
    peak = setting.load(clients=32, seconds=setting.scaled(15, 3))["throughput"]
    report = setting.load(rate=3 * peak, seconds=setting.scaled(60, 8))
    latency, statuses = report["latency_ms"], report["by_status"]
    turned_away = latency.get("429", {"p99": float("nan")})
    others = sum(count for status, count in statuses.items() if status not in ("200", "429"))
    deadline = setting.limits.deadline_seconds
    return [
        Figure("peak, closed loop", peak, unit="/s"),
        Figure("arrivals", 3 * peak, unit="/s"),
        at_least("accepted throughput / peak", report["throughput"] / peak, 0.9),
        at_most("accepted: p99", latency["200"]["p99"] / 1e3, deadline, "s"),
        Figure("answered 429", statuses.get("429", 0)),
        at_most("p99 until a 429", turned_away["p99"], 100, "ms"),
        Figure("answered otherwise", others),
        none_of("no answer, or a wrong one", sum(report["failures"].values())),
    ]


def flood(setting: Setting) -> list[Figure]:
    """/predict at half its capacity, without and with 16 clients who want heat maps."""
    rate = setting.load(clients=32, seconds=setting.scaled(10, 3))["throughput"] / 2
    seconds = setting.scaled(20, 5)
    quiet = setting.load(rate=rate, seconds=seconds)
    flooding = setting.start(path="/gradcam", clients=16, seconds=seconds + 4)
    time.sleep(2)
    flooded = setting.load(rate=rate, seconds=seconds)
    drawn = flooding.result()
    before, after = (run["latency_ms"]["200"]["p99"] for run in (quiet, flooded))
    return [
        Figure("arrivals", rate, unit="/s"),
        Figure("p99 without heat maps", before, unit="ms"),
        Figure("p99 with them", after, unit="ms"),
        at_most("p99, with / without", after / before, 2),
        none_of("predictions failed", failed(quiet) + failed(flooded)),
        Figure("heat maps", drawn["throughput"], unit="/s"),
        none_of("heat maps failed otherwise than by 429", _other_than_429(drawn)),
    ]


def explained(setting: Setting) -> list[Figure]:
    """2,000 explanations for 8 clients, and what a map from the prediction itself costs."""
    requests = int(setting.scaled(2000, 100))
    first = requests // 10
    seconds = setting.scaled(8, 2)

    def alone(path: str, **options: Any) -> float:
        report = setting.load(path=path, clients=1, seconds=seconds, **options)
        return float(report["latency_ms"]["200"]["p50"])

    predicted = alone("/predict")
    cam = alone("/explain", field="method=cam")
    gradients = alone("/explain")
    before = setting.load(path="/explain", clients=8, requests=first)
    held = [setting.served.memory(role) for role in (PREDICTION, EXPLAINER)]
    report = setting.load(path="/explain", clients=8, requests=requests - first)
    end = [setting.served.memory(role) for role in (PREDICTION, EXPLAINER)]
    return [
        Figure("a prediction: p50", predicted, unit="ms"),
        Figure("cam: p50", cam, unit="ms"),
        at_most("cam / prediction", cam / predicted, 1.15),
        Figure("Grad-CAM: p50", gradients, unit="ms"),
        Figure("requests of 8 clients", before["requests"] + report["requests"]),
        none_of("failed", failed(before) + failed(report)),
        Figure("explanations", report["throughput"], unit="/s"),
        Figure(f"explainer's memory after {first}", held[1] / MEBIBYTE, unit="MiB"),
        at_most("explainer's memory, end / first", end[1] / held[1], 1.1),
        at_most("prediction's memory, end / first", end[0] / held[0], 1.1),
    ]


def _other_than_429(report: dict[str, Any]) -> int:
    return failed(report) - int(report["by_status"].get("429", 0))


def poisoned(setting: Setting) -> list[Figure]:
    """5 % bad requests of six kinds beside those of 32 clients."""
    seconds = setting.scaled(30, 6)
    clean = setting.load(clients=32, seconds=seconds)
    report = setting.load(
        clients=32, seconds=seconds, poison=0.05, max_bytes=setting.limits.max_bytes
    )
    kinds = report["poison"]
    answers = [
        Figure(f"{kind}: {outcome}", count)
        for kind in POISONS
        for outcome, count in _outcomes(kinds.get(kind, {}), POISONS[kind]).items()
    ]
    return [
        Figure("throughput without", clean["throughput"], unit="/s"),
        at_least("throughput, with / without", report["throughput"] / clean["throughput"], 0.9),
        none_of("good ones failed or wrong", failed(report)),
        *answers,
    ]


POISONS = {
    "corrupt": "400",
    "oversized, declared": "413",
    "oversized, chunked": "413",
    "hanging upload": "408",
    "half-closed": "closed",
    "vanishing": "gone",
}
"""What becomes of each kind of bad request; 429 is right for any."""


def _outcomes(found: dict[str, int], right: str) -> dict[str, int]:
    expected = found.get(right, 0) + found.get("429", 0)
    return {right: expected, "otherwise": sum(found.values()) - expected}
