"""The receiving process and the working process: `python -m service.node.process PART FILE`.

Each ends with the process that started it, whatever ended that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import uvicorn

from service.logs import log_as_worker
from service.node.config import NodeConfig, read_config
from service.node.dicomweb import application
from service.node.intake import Intake
from service.node.queue import Queue
from service.node.receiver import Receiver
from service.node.worker import Worker
from service.serving.allocator import share_one_heap
from service.serving.garbage_collection import tune_garbage_collector
from service.serving.process_priority import lower_priority

_STANDS_BACK = 5
"""Nice value of the worker beside the receiver."""


def receive(config: NodeConfig) -> None:
    """Take images by DIMSE and HTTP until told to end."""
    queue = Queue(config.node.queue)
    queue.remove_unfinished("received")
    intake = Intake(queue, config.node)
    receiver = Receiver(config, queue, intake)
    server = _http_server(config, queue, intake)

    def serve_http() -> None:
        try:
            server.run()
        except SystemExit:  # the port is taken
            os._exit(1)

    threading.Thread(target=serve_http, name="http", daemon=True).start()

    def end(_number: int, _frame: object) -> None:
        threading.Thread(target=receiver.stop, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tune_garbage_collector()  # pynetdicom's server collects every few seconds
    receiver.serve()
    server.should_exit = True
    until = time.monotonic() + config.node.drain_seconds
    while receiver.open_associations and time.monotonic() < until:
        time.sleep(0.05)
    os._exit(0)  # threads of associations that did not end by then


def _http_server(config: NodeConfig, queue: Queue, intake: Intake) -> uvicorn.Server:
    node = config.node
    tls = {}
    if node.tls is not None:
        tls = {
            "ssl_certfile": node.tls.certificate,
            "ssl_keyfile": node.tls.key,
            "ssl_ca_certs": str(node.tls.ca),
            "ssl_cert_reqs": 2,  # ssl.CERT_REQUIRED
        }
    options = uvicorn.Config(
        application(config, queue, intake),
        host=node.http_host,
        port=node.http_port,
        log_config=None,
        access_log=False,
        limit_concurrency=2 * node.max_associations,
        timeout_keep_alive=5,
        server_header=False,
        **tls,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(options)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    return server


def work(config: NodeConfig) -> None:
    """Score and deliver until told to end."""
    lower_priority(_STANDS_BACK)  # senders wait for the receiver, nobody for the worker
    worker = Worker(config, Queue(config.node.queue))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.run()


def _end_with_parent() -> None:
    """End when the pipe on standard input is closed: who started this is gone."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def main(part: str, file: str) -> None:
    """Run one part of the node."""
    log_as_worker()
    share_one_heap()
    _end_with_parent()
    config = read_config(Path(file))
    {"receiver": receive, "worker": work}[part](config)


if __name__ == "__main__":
    main(*sys.argv[1:])
