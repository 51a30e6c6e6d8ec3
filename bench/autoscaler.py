"""The HorizontalPodAutoscaler's algorithm, with a manifest's own numbers."""

from __future__ import annotations

import math
from collections import deque

from bench.manifests import Manifest

TOLERANCE = 0.1
"""A ratio this near to 1 changes nothing (kube-controller-manager's default)."""


class Autoscaler:
    """The HorizontalPodAutoscaler's algorithm (Kubernetes documentation, "Algorithm details").

    Args:
        spec: The manifest's spec.
    """

    def __init__(self, spec: Manifest) -> None:
        self.low, self.high = spec["minReplicas"], spec["maxReplicas"]
        targets = {metric["type"]: metric for metric in spec["metrics"]}
        self.cpu = targets["Resource"]["resource"]["target"]["averageUtilization"] / 100
        self.in_flight = float(targets["Pods"]["pods"]["target"]["averageValue"])
        self._up, self._down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
        self._asked: deque[tuple[float, int]] = deque()
        self._counts: deque[tuple[float, int]] = deque()

    def decide(self, now: float, pods: int, ready: int, cpu: float, in_flight: float) -> int:
        """How many pods there should be.

        Args:
            now: Seconds.
            pods: Pods there are, ready or not.
            ready: Those that are measured.
            cpu: Mean share of the CPU request that the ready ones use.
            in_flight: Mean requests in work of the ready ones.
        """
        self._counts.append((now, pods))
        wanted = max(
            _proposal(cpu / self.cpu, pods, ready),
            _proposal(in_flight / self.in_flight, pods, ready),
        )
        wanted = min(max(wanted, self.low), self.high)
        self._asked.append((now, wanted))
        wanted = self._stabilised(now, pods, wanted)
        if wanted > pods:
            return min(wanted, max(pods, self._limit(self._up, now, +1)))
        if wanted < pods:
            return max(wanted, min(pods, self._limit(self._down, now, -1)))
        return pods

    def _stabilised(self, now: float, pods: int, wanted: int) -> int:
        up, down = (rule["stabilizationWindowSeconds"] for rule in (self._up, self._down))
        while self._asked[0][0] < now - max(up, down):
            self._asked.popleft()
        lowest = min(asked for then, asked in self._asked if then >= now - up)
        highest = max(asked for then, asked in self._asked if then >= now - down)
        return lowest if lowest > pods else highest if highest < pods else pods

    def _limit(self, rule: Manifest, now: float, sign: int) -> int:
        allowed = []
        for policy in rule["policies"]:
            since = now - policy["periodSeconds"]
            before = next((count for then, count in self._counts if then > since), 0)
            step = policy["value"]
            if policy["type"] == "Percent":
                step = math.ceil(before * step / 100)
            allowed.append(before + sign * step)
        while self._counts[0][0] < now - 600:
            self._counts.popleft()
        return max(allowed) if sign > 0 else min(allowed)


def _proposal(ratio: float, pods: int, ready: int) -> int:
    """Pods by one metric; those that are not ready count as idle when pods are to be added."""
    if abs(ratio - 1) <= TOLERANCE or not ready:
        return pods
    if ratio < 1 or ready == pods:
        return math.ceil(ratio * ready)
    spread = ratio * ready / pods
    return pods if spread <= 1 + TOLERANCE else math.ceil(spread * pods)
