"""The shadow: what it scores, what it lets go, and that it stands in nobody's way."""

import os
import threading

import numpy as np
import pyarrow.dataset
import pytest
from other_bundles import other_bundle, unchanged

from service.errors import SettingRefused
from service.metrics import SHADOW_IMAGES
from service.network.bundle import read_manifest
from service.network.predictor import open_predictor
from service.serving.monitoring_log import MonitoringLog
from service.serving.monitoring_row import columns, shadow_columns
from service.serving.shadow import (
    MOST_WAITING,
    Compared,
    Shadow,
    load_shadow,
    open_shadow,
    require_shadow,
)
from service.serving.shadow_process import ShadowProcess
from service.settings import read_settings

PIXELS = np.zeros((1, 224, 224), np.float32)
OUTCOMES = ("scored", "dropped", "failed")


class Network:
    """A network that answers every image with the same logits."""

    def __init__(self, logit):
        self.logit = logit
        self.ran = 0

    def logits(self, pixels):
        self.ran += 1
        return np.full(18, self.logit, np.float32)

    def end(self):
        pass


class Broken(Network):
    """A network that raises."""

    def logits(self, pixels):
        super().logits(pixels)
        raise RuntimeError("broken")


@pytest.fixture(scope="module")
def answered(demo_bundle, phantom_png):
    """The demo's manifest, and what the log is told of an image."""
    predictor = open_predictor(read_settings(bundle=str(demo_bundle)))
    data = phantom_png(1)
    return predictor.manifest, predictor.prepare(data).source, predictor.predict(data)


def counted():
    return {one: SHADOW_IMAGES.labels(one)._value.get() for one in OUTCOMES}


def rows_of(folder):
    return pyarrow.dataset.dataset(sorted(folder.rglob("*.parquet"))).to_table().to_pylist()


def followed(answered, folder, network, images, *, busy=False, share=1.0):
    """Hand images to a shadow until all are done or it is closed.

    Returns:
        The rows, and how many had which outcome.
    """
    manifest, source, answer = answered
    before = counted()
    log = MonitoringLog(folder, manifest.labels, ("Pneumonia",))
    shadow = Shadow(network, Compared(manifest, ("Pneumonia",)), share, log)
    done = threading.Event()
    add = log.add
    left = [images]

    def count(values):
        add(values)
        left[0] -= 1
        if not left[0]:
            done.set()

    log.add = count
    shadow.start(lambda: busy)
    for _ in range(images):
        shadow.put(source, answer, PIXELS)
    if not busy:
        assert done.wait(30)
    shadow.close()
    log.close()
    return rows_of(folder), {one: counted()[one] - before[one] for one in OUTCOMES}


def test_a_row_has_the_numbers_of_both(answered, tmp_path):
    """The shadow's version, probability, score and decision stand behind the answer's."""
    network = Network(0.0)
    rows, outcomes = followed(answered, tmp_path, network, 3)
    manifest, _, answer = answered
    found = answer.pathologies["Pneumonia"]
    named = [*columns(manifest.labels), *shadow_columns(["Pneumonia"])]
    for row in rows:
        assert list(row) == [column.name for column in named]
        assert row["Pneumonia_score"] == found.score
        assert (row["shadow_version"], row["Pneumonia_probability_shadow"]) == (
            manifest.version,
            0.5,
        )
        assert row["Pneumonia_positive_shadow"] == (row["Pneumonia_score_shadow"] > 0.5)
    assert (len(rows), outcomes) == (3, {"scored": 3, "dropped": 0, "failed": 0})


@pytest.mark.parametrize("network", [Broken(0.0), Network(np.nan)], ids=["raises", "not a number"])
def test_a_network_that_fails_is_counted_and_the_row_is_written(answered, tmp_path, network):
    """Rows are those of a log without a shadow, and the next image is tried again."""
    rows, outcomes = followed(answered, tmp_path, network, 3)
    assert outcomes == {"scored": 0, "dropped": 0, "failed": 3}
    assert network.ran == 3
    assert [row["shadow_version"] for row in rows] == [None] * 3
    assert {row["Pneumonia_score"] for row in rows} == {answered[2].score}


def test_a_busy_service_has_no_shadow(answered, tmp_path):
    """While anything is in work nothing is run; what does not fit and what is left at the end is
    dropped and counted, and every row is written."""
    network = Network(0.0)
    rows, outcomes = followed(answered, tmp_path, network, MOST_WAITING + 9, busy=True)
    assert network.ran == 0
    assert outcomes == {"scored": 0, "dropped": MOST_WAITING + 9, "failed": 0}
    assert [row["shadow_version"] for row in rows] == [None] * (MOST_WAITING + 9)


def test_a_share_of_the_images_is_scored(answered, tmp_path):
    """Of 400 images a stated fifth is scored, drawn at random; all have rows."""
    manifest, source, answer = answered
    log = MonitoringLog(tmp_path, manifest.labels, ("Pneumonia",))
    shadow = Shadow(Network(0.0), Compared(manifest, ("Pneumonia",)), 0.2, log)
    shadow._draw.seed(1)
    before = counted()["dropped"]
    for _ in range(400):
        shadow.put(source, answer, PIXELS)
    shadow.close()
    log.close()
    assert len(rows_of(tmp_path)) == 400
    assert 60 <= counted()["dropped"] - before <= 100


@pytest.fixture
def settings(demo_bundle, tmp_path):
    """Settings with a shadow in a folder."""
    return lambda shadow, **more: read_settings(
        bundle=str(demo_bundle),
        shadow=str(shadow),
        **({"monitoring_log": tmp_path / "log"} | more),
    )


def test_without_a_log_there_is_nowhere_to_write_to(demo_bundle, settings):
    """A shadow without the log of numbers is refused."""
    with pytest.raises(SettingRefused, match="CXR_SHADOW needs CXR_MONITORING_LOG"):
        require_shadow(settings(demo_bundle, monitoring_log=None), read_manifest(demo_bundle))


def test_a_shadow_that_is_not_there_is_refused(demo_bundle, settings, tmp_path):
    """A folder without a bundle is refused by the setting's name."""
    with pytest.raises(SettingRefused, match=r"CXR_SHADOW: .*manifest.json does not exist"):
        require_shadow(settings(tmp_path / "none"), read_manifest(demo_bundle))


def test_bundles_without_a_common_finding_are_refused(demo_bundle, settings, tmp_path):
    """There would be nothing to compare."""
    labels = ("Effusion", *[""] * 17)
    other = other_bundle(demo_bundle, tmp_path / "next", unchanged, labels)
    with pytest.raises(SettingRefused, match="there is no finding to compare"):
        require_shadow(settings(other), read_manifest(demo_bundle))


def test_findings_of_one_bundle_alone_are_left_out(demo_bundle, settings, tmp_path):
    """What both predict is compared, wherever its output is."""
    labels = list(read_manifest(demo_bundle).labels)
    labels[0] = "Effusion"
    other = other_bundle(demo_bundle, tmp_path / "next", unchanged, tuple(labels))
    compared = open_shadow(settings(other), read_manifest(demo_bundle))
    assert compared.labels == ("Pneumonia",)
    assert compared.manifest.version == read_manifest(other).version


def test_a_worker_comes_up_without_a_shadow_that_was_damaged_meanwhile(
    demo_bundle, settings, tmp_path, caplog
):
    """It says so in its log; predictions do not depend on the shadow."""
    other = other_bundle(demo_bundle, tmp_path / "next", unchanged)
    (other / "golden.npz").write_bytes(b"damaged")
    with pytest.raises(SettingRefused, match=r"CXR_SHADOW: .*golden.npz has 7 bytes"):
        load_shadow(settings(other), read_manifest(demo_bundle))
    assert open_shadow(settings(other), read_manifest(demo_bundle)) is None
    assert "no shadow: CXR_SHADOW: " in caplog.text


def test_a_network_that_answers_otherwise_than_it_should_is_refused(
    demo_bundle, settings, tmp_path
):
    """The golden output of another network ends the start."""
    other = other_bundle(demo_bundle, tmp_path / "next", unchanged, golden=1.0)
    with pytest.raises(SettingRefused, match=r"CXR_SHADOW: .* answers the golden input"):
        load_shadow(settings(other), read_manifest(demo_bundle))


def test_the_process_answers_as_the_network_does(demo_bundle, settings, monkeypatch, phantom_png):
    """Its logits are those of the bundle's network; killed, it fails one image and comes back."""
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.setenv("CXR_SHADOW", str(demo_bundle))
    monkeypatch.setenv("CXR_MONITORING_LOG", str(demo_bundle))
    predictor = open_predictor(read_settings(threads=1, streams=1, max_batch=1, gate="off"))
    pixels = predictor.prepare(phantom_png(1)).input.pixels
    expected = predictor.runtime.run(pixels[None]).logits[0]
    process = ShadowProcess()
    assert process.logits(pixels).tolist() == expected.tolist()
    policy = os.sched_getscheduler(process._process.pid)
    assert policy == os.SCHED_IDLE
    process._process.kill()
    with pytest.raises(ChildProcessError, match=r"The shadow's process ended \(-9\)"):
        process.logits(pixels)
    assert process.logits(pixels).tolist() == expected.tolist()
    process.end()
    with pytest.raises(ChildProcessError):
        process.logits(pixels)


def test_a_process_that_cannot_load_its_bundle_fails_images(tmp_path, monkeypatch):
    """Each image has its error, and the process is not started again for every one."""
    monkeypatch.setenv("CXR_BUNDLE", str(tmp_path))
    process = ShadowProcess()
    with pytest.raises(ChildProcessError, match=r"The shadow's process ended \(1\)"):
        process.logits(PIXELS)
    with pytest.raises(ChildProcessError, match="started again later"):
        process.logits(PIXELS)


def test_no_shadow_unless_it_is_asked_for(demo_bundle):
    """Without the setting there is none."""
    settings = read_settings(bundle=str(demo_bundle))
    assert load_shadow(settings, read_manifest(demo_bundle)) is None
