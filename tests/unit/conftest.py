import threading

import pytest
import torch
from checkpoints import random_network
from file_server import FileServer

# Where other work keeps the cores busy, torch's threads wait for each other: the networks here
# are run on an image or two, which one thread does as fast.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def network():
    """The library's DenseNet with random weights; not to be changed."""
    return random_network()


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
