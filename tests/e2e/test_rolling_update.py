"""A new version comes up and the old one is drained, under load, as the manifests order it."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pods import KEY, Pod, build_context, pod, wait_for_start

from export.bundle.publish import record_files
from service.network.bundle import MANIFEST, bundle_version, read_manifest

OVERLAY = ("overlays/split", "cxr")
NOBODY = {"cxr-explainer": "127.0.0.1"}


@pytest.fixture(scope="module")
def next_context(demo_bundle, tmp_path_factory) -> Path:
    """The build context of the next version: the same network in a bundle of another version."""
    folder = tmp_path_factory.mktemp("next") / "demo"
    shutil.copytree(demo_bundle, folder)
    with (folder / "network.int8w7.xml").open("a") as graph:
        graph.write("\n")
    manifest = read_manifest(folder)
    files = record_files(folder)
    version = bundle_version(manifest.weights.sha256, files, manifest.measured)
    changed = manifest.model_copy(update={"files": files, "version": version})
    (folder / MANIFEST).write_text(changed.model_dump_json())
    return build_context(folder, tmp_path_factory.mktemp("next_image"))


class Load:
    """Callers who keep asking whoever is an endpoint at the moment."""

    def __init__(self, image: bytes, callers: int, endpoint: str) -> None:
        self.endpoints = [endpoint]
        self.seen: Counter = Counter()
        self._image = image
        self._stop = threading.Event()
        self._turns = list(range(callers))
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(callers)]

    def _call(self, caller: int) -> None:
        with httpx.Client(timeout=30, headers={"x-api-key": KEY}) as client:
            while not self._stop.is_set():
                self._turns[caller] += 1
                endpoints = self.endpoints  # exchanged as a whole, never changed
                url = endpoints[self._turns[caller] % len(endpoints)]
                try:
                    answer = client.post(f"{url}/predict", files={"image": self._image})
                except httpx.TransportError as error:
                    self.seen[type(error).__name__] += 1
                    continue
                version = answer.json()["model"]["version"] if answer.is_success else "none"
                self.seen[answer.status_code, version] += 1

    def until(self, version: str, count: int) -> None:
        """Wait until so many more answers of a version have come."""
        before = self.seen[200, version]
        until(lambda: self.seen[200, version] >= before + count)

    def spread(self, *endpoints: str) -> None:
        """Exchange the endpoints, and wait until every caller has heard."""
        self.endpoints = list(endpoints)
        before = list(self._turns)
        until(lambda: all(now > then for now, then in zip(self._turns, before, strict=True)))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def at_work_on(path: str, pod_: Pod) -> bool:
    """Whether a pod works on a request to a path, as its metrics say."""
    text = httpx.get(f"{pod_.url}/metrics").text
    found = re.search(rf'cxr_in_flight{{.*path="{path}".*}} (\S+)', text)
    return found is not None and float(found[1]) > 0


def version_in(context: Path) -> str:
    (model,) = (folder for folder in (context / "models/cxr-demo").iterdir() if folder.is_dir())
    return model.name


def test_a_rolling_update_fails_no_request(image_context, next_context, keys, phantom_png):
    """The new pod comes up, the old one is told to go with work in hand: every answer is 200."""
    old_version, new_version = version_in(image_context), version_in(next_context)
    image = phantom_png(11)
    batch = {"files": [("images", image)] * 64, "headers": {"x-api-key": KEY}, "timeout": 60}
    with pod(*OVERLAY, image_context, keys, NOBODY) as old:
        wait_for_start(old)
        load = Load(image, callers=4, endpoint=old.url)
        with pod(*OVERLAY, next_context, keys, NOBODY) as new, load, ThreadPoolExecutor(1) as pool:
            load.until(old_version, 10)
            # maxUnavailable is 0: the old pod stays until the new one is ready.
            wait_for_start(new)
            load.spread(old.url, new.url)
            load.until(new_version, 20)
            # While preStop sleeps, everyone hears that the old pod is leaving.
            load.spread(new.url)
            last = pool.submit(httpx.post, f"{old.url}/predict_batch", **batch)
            until(lambda: at_work_on("/predict_batch", old))
            old.terminate()
            assert old.process.wait(60) == 0, old.log.read_text()
            load.until(new_version, 20)
    print(dict(load.seen))
    assert old_version != new_version
    assert set(load.seen) == {(200, old_version), (200, new_version)}
    answer = last.result().raise_for_status().json()
    assert {one["prediction"]["model"]["version"] for one in answer["answers"]} == {old_version}
