"""What drifts as a file for the textfile collector of Prometheus's node exporter."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from export.monitoring.records import Report, ShadowReport
from service.durable import write_whole

REGISTRY = CollectorRegistry()
_DRIFTS = Gauge("cxr_watch_drifts", "1 where a column drifts.", ["column"], registry=REGISTRY)
_STABILITY = Gauge(
    "cxr_watch_stability", "Population stability index.", ["column"], registry=REGISTRY
)
_ADJUSTED = Gauge("cxr_watch_p_value", "By Holm.", ["column"], registry=REGISTRY)
_THRESHOLD = Gauge("cxr_watch_threshold", "Of p-values, from the simulation.", registry=REGISTRY)
_ROWS = Gauge("cxr_watch_rows", "Images compared.", ["side"], registry=REGISTRY)
_POSITIVE = Gauge(
    "cxr_watch_positive_share", "Of a finding.", ["finding", "side"], registry=REGISTRY
)
_UNCERTAIN = Gauge(
    "cxr_watch_uncertain_share", "Of a finding.", ["finding", "side"], registry=REGISTRY
)
_TIME = Gauge("cxr_watch_time_seconds", "When they were compared.", registry=REGISTRY)


SHADOW_REGISTRY = CollectorRegistry()
_DIFFERS = Gauge(
    "cxr_watch_shadow_differs",
    "1 where the shadow decides otherwise.",
    ["finding"],
    registry=SHADOW_REGISTRY,
)
_SAME = Gauge(
    "cxr_watch_shadow_same_decision_share",
    "Of images that both have scored.",
    ["finding"],
    registry=SHADOW_REGISTRY,
)
_SCORES = Gauge(
    "cxr_watch_shadow_score_difference",
    "Mean, shadow less served.",
    ["finding"],
    registry=SHADOW_REGISTRY,
)
_PAIRS = Gauge("cxr_watch_shadow_rows", "Images that both have scored.", registry=SHADOW_REGISTRY)
_SHADOW_TIME = Gauge(
    "cxr_watch_shadow_time_seconds", "When they were compared.", registry=SHADOW_REGISTRY
)


def write_shadow_textfile(report: ShadowReport, path: Path) -> None:
    """Write the gauges of a shadow's report; as `write_textfile`."""
    for gauge in (_DIFFERS, _SAME, _SCORES):
        gauge.clear()
    for one in report.findings:
        _DIFFERS.labels(one.finding).set(one.decisions_differ)
        _SAME.labels(one.finding).set(one.same_decision.count / one.same_decision.of)
        _SCORES.labels(one.finding).set(one.score_difference.value or 0.0)
    _PAIRS.set(report.rows)
    _SHADOW_TIME.set_to_current_time()
    write_whole(path, generate_latest(SHADOW_REGISTRY))


def write_textfile(report: Report, path: Path) -> None:
    """Write the gauges of a report in one step, as the collector needs it."""
    for gauge in (_DRIFTS, _STABILITY, _ADJUSTED, _POSITIVE, _UNCERTAIN):
        gauge.clear()
    for one in report.columns:
        _DRIFTS.labels(one.column).set(one.drifts)
        _STABILITY.labels(one.column).set(one.stability)
        _ADJUSTED.labels(one.column).set(one.adjusted)
    _THRESHOLD.set(report.threshold)
    for side, rows in (("then", report.then.rows), ("now", report.now.rows)):
        _ROWS.labels(side).set(rows)
    for finding in report.findings:
        for side in ("then", "now"):
            positive = getattr(finding, f"positive_{side}")
            uncertain = getattr(finding, f"uncertain_{side}")
            _POSITIVE.labels(finding.finding, side).set(positive.value)
            if uncertain is not None:
                _UNCERTAIN.labels(finding.finding, side).set(uncertain.value)
    _TIME.set_to_current_time()
    write_whole(path, generate_latest(REGISTRY))
