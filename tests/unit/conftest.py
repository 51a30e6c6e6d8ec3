import shutil
import threading

import numpy as np
import pytest
import torch
from checkpoints import random_network
from file_server import FileServer

from export.bundle.calibration import Calibration
from export.bundle.publish import record_files
from export.bundle.variants import CANDIDATES, write_int8
from export.demo.phantom import make_phantom
from service.network.bundle import Bundle, bundle_version, open_bundle

# Where other work keeps the cores busy, torch's threads wait for each other: the networks here
# are run on an image or two, which one thread does as fast.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def network():
    """The library's DenseNet with random weights; not to be changed."""
    return random_network()


@pytest.fixture(scope="session")
def complete_bundle(demo_bundle, tmp_path_factory) -> Bundle:
    """The demo bundle with every variant, also those that an export on this processor leaves out.

    Where it has no 8-bit network, the demo's is quantised on the spot; not to be changed.
    """
    bundle = open_bundle(demo_bundle)
    manifest = bundle.manifest
    missing = [variant for variant in CANDIDATES if variant.name in manifest.kept_out]
    if not missing:
        return bundle
    folder = shutil.copytree(demo_bundle, tmp_path_factory.mktemp("complete") / demo_bundle.name)
    if any(variant.precision == "int8" for variant in missing):
        images = np.stack([make_phantom(seed, opacity=seed % 2 == 0).pixels for seed in range(4)])
        calibration = Calibration(images[:, None], images[:, None], "phantoms")
        write_int8(folder, calibration, manifest.labels.index("Pneumonia"))
    files = record_files(folder)
    complete = manifest.model_copy(
        update={
            "files": files,
            "version": bundle_version(manifest.weights.sha256, files),
            "variants": (*manifest.variants, *missing),
            "kept_out": {},
        }
    )
    (folder / "manifest.json").write_text(complete.model_dump_json(), encoding="utf-8")
    return open_bundle(folder)


@pytest.fixture(scope="session")
def published(network, tmp_path_factory):
    """A file as upstream publishes its own: a whole pickled module, random weights."""
    path = tmp_path_factory.mktemp("published") / "published.pt"
    torch.save(network, path)
    return path


@pytest.fixture
def serve(monkeypatch):
    """Start a file server for some bytes; every one is stopped after the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = []

    def start(content):
        server = FileServer(content)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()
