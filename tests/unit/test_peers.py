"""The arithmetic of the peers' table: medians, ratios, claims, labels; nothing is measured."""

import math

import pytest

from bench.compare import Probabilities, probabilities
from bench.peers.contenders import CONTENDERS, quantised
from bench.peers.plot import apart
from bench.peers.results import FLOAT32_BOUNDS, Row, claims, number, point, rows, table, together
from bench.scaling import core_counts
from service.network.bundle import read_manifest
from service.network.runtime.selection import select


def _load(throughput=1.0, p99=1.0, failed=0):
    return {"throughput": throughput, "p50": 1.0, "p99": p99, "requests": 10, "failed": failed}


def _row(server, precision, throughput, p99=10.0, failed=0):
    points = {str(count): _load(throughput) for count in (1, 8, 32, 128)}
    return Row(server, precision, {"points": points, "equal": _load(p99=p99, failed=failed)})


def test_repeats_are_put_together():
    """Speeds are medians, counts are sums, the worst difference is kept, at any depth."""
    repeats = [
        {"at": {"throughput": speed, "failed": failed, "largest_difference": difference}}
        for speed, failed, difference in ((10.0, 0, 0.1), (90.0, 2, 0.3), (20.0, 1, 0.2))
    ]
    assert together(repeats) == {"at": {"throughput": 20.0, "failed": 3, "largest_difference": 0.3}}


def test_a_repeat_without_an_answer_leaves_no_median():
    """Where one repeat had nothing to measure there is no median, not even of the rest."""
    assert math.isnan(together([{"p99": 1.0}, {"p99": math.nan}])["p99"])


def test_every_request_without_a_right_answer_is_a_failure():
    """Other statuses, broken connections and wrong answers are all counted, each once."""
    report = {
        "throughput": 5.0,
        "latency_ms": {"200": {"p50": 1.0, "p99": 2.0}, "503": {"p50": 0.1, "p99": 0.1}},
        "by_status": {"200": 90, "503": 4},
        "failures": {"wrong": 3, "timeout": 2},
        "requests": 96,
        "largest_difference": 0.0,
    }
    found = point(report)
    assert (found["failed"], found["wrong"], found["p99"]) == (9, 3, 2.0)


def test_turns_become_one_row_a_contender():
    """A contender is a server with a runtime; rows come in the order of the run."""
    turns = [
        {"server": server, "precision": precision, "figures": {"x": value}}
        for value, (server, precision) in enumerate(
            [("a", "int8"), ("b", "int8"), ("a", "float32"), ("a", "int8")]
        )
    ]
    assert [(row.name, row.figures["x"]) for row in rows(turns)] == [
        ("a, int8", 1.5),
        ("b, int8", 1),
        ("a, float32", 2),
    ]


def test_claims_are_held_against_the_best_peer():
    """Each ratio is to the peer that does best at just that."""
    found = [
        _row("ours", "int8", 100.0, p99=20.0),
        _row("x", "int8", 80.0, p99=25.0),
        _row("y", "int8", 50.0, p99=18.0),
        _row("x", "float32", 20.0, p99=90.0),
        _row("y", "float32", 40.0, p99=80.0),
    ]
    made = [(round(one.value, 3), one.held) for one in claims(found, "ours", 3.0)]
    assert made == [(2.5, False), (1.25, True), (1.111, False), (0, True)]


def test_a_peer_that_fails_sets_no_tail_latency():
    """A p99 that was had by giving up requests is not held against anybody."""
    found = [
        _row("ours", "int8", 100.0, p99=20.0),
        _row("x", "int8", 80.0, p99=5.0, failed=1),
        _row("y", "int8", 50.0, p99=40.0),
    ]
    (tail,) = (one for one in claims(found, "ours", 3.0) if "p99" in one.text)
    assert (tail.value, tail.held) == (0.5, True)


def test_peers_get_the_8_bit_network_that_the_service_takes_here(demo_bundle):
    """The same file for everyone, whichever 8-bit network runs here, and it has a bound."""
    variant = select(read_manifest(demo_bundle)).variant
    if not variant.precision.startswith("int8"):
        pytest.skip(f"{variant.name} is served on this processor")
    assert quantised(demo_bundle).precision in FLOAT32_BOUNDS
    given = {
        one.precision: one.environment(demo_bundle, 1)["PEER_NETWORK"]
        for one in CONTENDERS
        if not one.ours
    }
    assert given == {
        "int8": str(demo_bundle / variant.files[0]),
        "float32": str(demo_bundle / "network.onnx"),
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"pathologies": {"Pneumonia": {"probability": 0.25}}}, [0.25]),
        ({"probabilities": [0.25, 0.5]}, [0.25, 0.5]),
        ([[0.25, 0.5]], [0.25, 0.5]),
    ],
    ids=["ours", "an object", "a batch of one"],
)
def test_probabilities_are_found(answer, expected):
    """The same comparison reads every service's answer."""
    assert probabilities(answer) == expected


@pytest.mark.parametrize(
    ("body", "difference"),
    [
        (b'{"probabilities": [0.5, 0.2505]}', 0.0005),
        (b'{"probabilities": [0.5, 0.252]}', math.inf),
        (b'{"probabilities": [0.5]}', math.inf),
        (b'{"error": "none"}', math.inf),
        (b"not JSON", math.inf),
    ],
    ids=["close", "too far", "too few", "an error", "not JSON"],
)
def test_a_wrong_answer_is_infinitely_far(body, difference):
    """Beyond the tolerance, or without as many probabilities, an answer is wrong."""
    right = Probabilities({"probabilities": [0.5, 0.25]}, 1e-3)
    assert right.difference(body) == pytest.approx(difference)


def test_labels_keep_apart():
    """Names at the ends of lines never overlap, and move only up and only if they must."""
    assert apart([10.0, 50.0, 11.0, 10.5], 2.0) == [10.0, 50.0, 14.0, 12.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (103.6, "104"),
        (28.66, "28.7"),
        (3.4567, "3.46"),
        (0.0123, "0.01"),
        (0, "0"),
        (math.nan, "-"),
    ],
)
def test_numbers_are_short(value, text):
    """A table shows three digits that count, never an exponent."""
    assert number(value) == text


def test_a_table_is_markdown():
    """Numbers are set to the right."""
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_cores_are_doubled(cores, counts):
    """Cores go in powers of two, and always up to all of them."""
    assert core_counts(cores) == counts
