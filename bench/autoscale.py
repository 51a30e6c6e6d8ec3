"""A day at a hospital against the manifests' own autoscaler, and three worse things than a day.

    python -m bench.autoscale                    # every scenario, the manifests' numbers
    python -m bench.autoscale --set averageValue=4 --set minReplicas=2 spike

Requests arrive one by one, pods batch them as the service does, and the autoscaler sees what it
would see: a scrape every 15 s, averaged over two, a decision every 15 s, pods that take their
time to start. The autoscaler's numbers, the queue and the batch size are read from the rendered
manifests; how long a batch takes is read from service_times.json, which is measured.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from bench.arrivals import SCENARIOS, Scenario, arrivals
from bench.autoscaler import Autoscaler
from bench.manifests import Manifest, find
from bench.simulated_pod import Pod, PodTimes, pod_times

SYNC = 15.0
"""Seconds between two decisions (kube-controller-manager) and between two scrapes."""
READINESS = 5.0
"""Seconds until a ready pod is in every proxy's list: readiness period and propagation."""
MEASURED = Path(__file__).with_name("service_times.json")


@dataclass(frozen=True)
class Outcome:
    """What a scenario came to.

    Attributes:
        p99: Seconds that all but one in a hundred waited for the network at the most.
        rejected: Requests turned away; `late` of them after the first reaction.
        total: Requests.
        hours: Replica-hours.
        oracle: Replica-hours of somebody who knows the arrivals beforehand, has pods start on
            time, and keeps no more than the arrivals of each 15 s need, nor less than the floor.
        most: Pods at the most.
        changes: How often the number of pods turned from growing to shrinking or back.
    """

    p99: float
    rejected: int
    late: int
    total: int
    hours: float
    oracle: float
    most: int
    changes: int


def reaction_seconds(times: PodTimes) -> float:
    """The least time until a new pod can serve: a scrape, a decision, a start, a proxy's list."""
    return SYNC + SYNC + times.start + READINESS


def replay(scenario: Scenario, spec: Manifest, times: PodTimes, seed: int = 1) -> Outcome:
    """Run a scenario against an autoscaler's spec."""
    random = np.random.default_rng(seed)
    scaler = Autoscaler(spec)
    pods = [Pod(ready_at=0.0) for _ in range(scaler.low)]
    waits: list[float] = []
    samples: deque[float] = deque(maxlen=2)
    rejected = late = total = most = turns = direction = 0
    hours = oracle = 0.0
    deadline = math.inf if scenario.trouble is None else scenario.trouble + reaction_seconds(times)
    for now in np.arange(0, scenario.seconds, SYNC):
        ready = [pod for pod in pods if pod.ready_at <= now]
        asking = arrivals(scenario, now, SYNC, random)
        total += len(asking)
        # A pod that becomes ready in between joins for the rest of the stretch.
        joins = np.array([pod.ready_at for pod in pods])
        first = random.random(len(asking))
        order = np.argsort(joins)
        able = np.searchsorted(joins[order], asking, side="right")
        chosen = order[(first * able).astype(int)]
        for number, pod in enumerate(pods):
            mine = asking[chosen == number]
            before = int(np.searchsorted(mine, deadline))
            lost = pod.run(mine[:before], min(now + SYNC, max(deadline, now)), times, waits)
            lost_late = pod.run(mine[before:], now + SYNC, times, waits)
            rejected += lost + lost_late
            late += lost_late
        hours += len(pods) * SYNC / 3600
        oracle += max(scaler.low, math.ceil(len(asking) / SYNC / times.rate)) * SYNC / 3600
        end = now + SYNC
        busy = np.mean([pod.busy / SYNC for pod in ready])
        samples.append(float(np.mean([pod.in_flight(end) for pod in ready])))
        for pod in pods:
            pod.busy = 0.0
        cpu = min(1.0, float(busy)) + times.idle_cpu
        wanted = scaler.decide(end, len(pods), len(ready), cpu, float(np.mean(samples)))
        if wanted != len(pods):
            turn = 1 if wanted > len(pods) else -1
            turns += turn != direction
            direction = turn
        pods.extend(Pod(ready_at=end + times.start + READINESS) for _ in range(wanted - len(pods)))
        if wanted < len(pods):  # the youngest go first, and finish what they have
            for pod in pods[wanted:]:
                pod.run(np.empty(0), math.inf, times, waits)
            pods = pods[:wanted]
        most = max(most, len(pods))
    p99 = float(np.percentile(waits, 99))
    return Outcome(p99, rejected, late, total, hours, oracle, most, turns)


def changed(spec: Manifest, changes: tuple[str, ...]) -> Manifest:
    """The spec with numbers exchanged: NAME=VALUE, wherever the name is in it."""
    spec = copy.deepcopy(spec)
    for change in changes:
        name, _, value = change.partition("=")
        if not _exchange(spec, name, float(value)):
            raise click.BadParameter(f"the autoscaler has no number {name}")
    return spec


def _exchange(part: object, name: str, value: float) -> bool:
    if isinstance(part, list):
        return bool([item for item in part if _exchange(item, name, value)])
    if not isinstance(part, dict):
        return False
    found = bool([item for item in part.values() if _exchange(item, name, value)])
    if name in part:
        part[name] = int(value) if value == int(value) else value
    return found or name in part


@click.command()
@click.argument("names", nargs=-1)
@click.option("--times", type=click.Path(path_type=Path), default=MEASURED, show_default=True)
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Try another number.")
def main(names: tuple[str, ...], times: Path, changes: tuple[str, ...]) -> None:
    """Replay scenarios whose name starts with one of NAMES; all of them where none is given."""
    spec = changed(find("base", "HorizontalPodAutoscaler", "cxr")["spec"], changes)
    pod = pod_times(times)
    click.echo(
        f"A pod: {pod.rate:.0f}/s at the most, {pod.capacity} in work, ready in {pod.start:g} s. "
        f"First reaction: {reaction_seconds(pod):g} s. {' '.join(changes)}"
    )
    columns = ("scenario", "wait p99", "rejected", "after the reaction", "pods", "pod-hours")
    columns += ("oracle", "ratio", "turns")
    click.echo(_row(columns))
    click.echo(_row(["---"] * len(columns)))
    for scenario in SCENARIOS:
        if names and not scenario.name.startswith(names):
            continue
        done = replay(scenario, spec, pod)
        after = "-" if scenario.trouble is None else str(done.late)
        ratio = f"{done.hours / done.oracle:.2f}"
        cells = [scenario.name, f"{done.p99 * 1e3:.0f} ms", f"{done.rejected / done.total:.2%}"]
        cells += [after, str(done.most), f"{done.hours:.1f}", f"{done.oracle:.1f}", ratio]
        click.echo(_row([*cells, str(done.changes)]))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
