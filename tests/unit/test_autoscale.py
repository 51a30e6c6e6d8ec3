"""The simulated autoscaler and pods, and the manifests' numbers under a burst."""

import numpy as np
import pytest

from bench.arrivals import Scenario
from bench.autoscale import MEASURED, changed, reaction_seconds, replay
from bench.autoscaler import Autoscaler
from bench.manifests import find
from bench.simulated_pod import Pod, PodTimes, pod_times

TIMES = PodTimes(alone=1.0, each=0.5, max_batch=4, capacity=6, start=10.0, idle_cpu=0.0)


@pytest.fixture
def spec():
    return find("base", "HorizontalPodAutoscaler", "cxr")["spec"]


def scaler(spec, **numbers):
    given = {"minReplicas": 1, "averageUtilization": 50, "averageValue": 10, **numbers}
    return Autoscaler(changed(spec, tuple(f"{name}={value}" for name, value in given.items())))


@pytest.mark.parametrize(
    ("pods", "ready", "cpu", "in_flight", "wanted"),
    [
        (4, 4, 0.75, 0, 6),
        (4, 4, 0.54, 0, 4),
        (4, 4, 0.75, 30, 12),
        (4, 2, 0.75, 0, 4),
        (4, 2, 1.50, 0, 6),
    ],
    ids=["ratio", "within a tenth", "the larger", "half not ready", "half not ready, three times"],
)
def test_the_documented_algorithm(spec, pods, ready, cpu, in_flight, wanted):
    """Pods follow the ratio to the target; pods that are not ready count as idle."""
    assert scaler(spec).decide(0, pods, ready, cpu, in_flight) == wanted


def test_growth_is_bounded_by_the_policy_and_the_limit(spec):
    """Four times the pods at a decision, no more for a minute, and never over the maximum."""
    growing = scaler(spec)
    assert growing.decide(0, 3, 3, 1.0, 500) == 12
    assert growing.decide(15, 12, 3, 1.0, 500) == 12
    assert growing.decide(75, 12, 12, 1.0, 500) == 40


def test_shrinking_waits_five_minutes_and_goes_by_a_quarter(spec):
    """What was needed within five minutes is kept; then a quarter of the pods goes at a time."""
    shrinking = scaler(spec)
    shrinking.decide(0, 8, 8, 0.5, 0)
    assert shrinking.decide(300, 8, 8, 0.0, 0) == 8
    assert shrinking.decide(315, 8, 8, 0.0, 0) == 6


def test_a_pod_batches_what_waits_and_turns_away_what_is_too_much():
    """A lone image starts at once; then all that waits, up to a batch; over capacity, nothing."""
    waits = []
    pod = Pod(ready_at=0.0)
    rejected = pod.run(np.array([0.0] + [0.5] * 7), 100.0, TIMES, waits)
    assert rejected == 2
    assert waits == [0.0, 0.5, 0.5, 0.5, 0.5, 3.0]
    assert pod.free_at == 1.0 + 2.5 + 1.0


def test_a_burst_is_met_after_the_first_reaction(spec):
    """With the manifests' numbers nothing is turned away once the first new pods can be there."""
    times = pod_times(MEASURED)
    trouble = 60.0
    burst = Scenario("burst", 180, lambda t: np.where(t < trouble, 50.0, 800.0), trouble)
    done = replay(burst, spec, times)
    assert done.rejected > 0
    assert done.late == 0
    assert reaction_seconds(times) < 60


def test_the_surge_of_cpu_alone_is_too_slow(spec):
    """Without requests in work as a metric the same burst goes on being turned away."""
    burst = Scenario("burst", 180, lambda t: np.where(t < 60, 50.0, 800.0), 60.0)
    done = replay(burst, changed(spec, ("averageValue=1000000",)), pod_times(MEASURED))
    assert done.late > 1000
