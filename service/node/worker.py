"""The worker: scores what was received, and delivers what was scored."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from service.errors import CxrError
from service.explain.dicom.study import source_header
from service.explain.dicom.text_report import not_analysed_report
from service.node.audit import SERIOUS, SUCCESS, audit
from service.node.claims import Claims
from service.node.config import Destination, NodeConfig
from service.node.outcomes import (
    Arrived,
    Ending,
    Later,
    Never,
    Promised,
    Sender,
    Unmade,
    Unreachable,
)
from service.node.queue import Delivery, Instance, Queue
from service.node.senders import sender
from service.node.service_client import Refused, ServiceClient, ServiceDown, ServiceFailed

log = logging.getLogger("cxr.node.worker")

_IDLE_SECONDS = 0.1
"""After which an idle thread looks for work that another process brought."""

_LONGEST_WAIT = 300.0
_COMMITMENT_SECONDS = 600.0
_BATCH = 20
"""Deliveries that a thread takes at one time."""


def backoff(attempts: int) -> float:
    """Seconds to wait after so many failures: 1, 2, 4 and so on, five minutes at the most."""
    return min(2.0 ** min(attempts, 20), _LONGEST_WAIT)


class Worker:
    """Threads that score, and threads of each destination, so that none waits for another.

    Args:
        config: What to do.
        queue: What there is to do.
    """

    def __init__(self, config: NodeConfig, queue: Queue) -> None:
        self._config = config
        self._queue = queue
        self._service = ServiceClient(config.node)
        self._stopped = threading.Event()
        self._claims = Claims()
        self._deliveries = [
            _Deliveries(each, config, queue, self._stopped) for each in config.destination
        ]
        self._down = 0
        self._paused_until = 0.0

    def run(self) -> None:
        """Work until `stop` is called."""
        self._queue.remove_unfinished("results")
        work: list[Callable[[], None]] = [self._score_until_stopped] * self._config.node.scorers
        for each in self._deliveries:
            work += [each.run] * each.connections
        threads = [threading.Thread(target=each, daemon=True) for each in work]
        for thread in threads:
            thread.start()
        while not self._stopped.wait(10.0):
            self._queue.clean(self._config.node.keep_seconds, self._config.node.remember_days)
        for thread in threads:
            thread.join(self._config.node.drain_seconds)

    def stop(self) -> None:
        """End after what is in work."""
        self._stopped.set()

    def _score_until_stopped(self) -> None:
        while not self._stopped.is_set():
            wait = self._paused_until - time.monotonic()
            if wait > 0:
                self._stopped.wait(wait)
                continue
            with self._claims.take(
                self._queue.due_for_scoring, lambda each: each.id, 1, 1
            ) as claimed:
                for instance in claimed:
                    self._try_to_score(instance)
            if not claimed:
                self._stopped.wait(_IDLE_SECONDS)

    def _try_to_score(self, instance: Instance) -> None:
        try:
            self._score(instance)
        except (sqlite3.OperationalError, OSError):  # the disk is full
            log.exception("the queue cannot be written")
            self._stopped.wait(5.0)
        except Exception:  # a fault of this program shall not end the thread
            log.exception("an instance could not be worked on")
            self._retry(instance, "a fault of the node")

    def _objects(self) -> tuple[str, ...]:
        """What the service is asked for.

        A DICOM peer may take no Comprehensive 3D SR. Until that is known, the poorer kinds are made
        beside it, a few kilobytes each.
        """
        wanted = [kind for each in self._deliveries for kind in each.sender.files]
        return tuple(dict.fromkeys(wanted)) or ("json",)

    def _score(self, instance: Instance) -> None:
        try:
            file = self._queue.file(instance.id).read_bytes()
        except OSError:
            self._bury(instance, "its file is gone")
            return
        try:
            results = self._service.results(file, self._objects())
            self._up()
        except ServiceDown as fault:
            self._pause(fault)
            return
        except ServiceFailed as fault:
            self._retry(instance, str(fault))
            return
        except Refused as fault:
            self._up()
            self._refuse(instance, file, fault)
            return
        deliveries = [(each.name, kind) for each in self._config.destination for kind in each.kinds]
        if any(kind == "fhir" for _, kind in deliveries):
            results["fhir"] = _fhir(file, results["json"])
        results.pop("json", None)
        self._queue.score(instance.id, results, deliveries)
        self._wake_senders()

    def _wake_senders(self) -> None:
        for each in self._deliveries:
            each.fresh.set()

    def _refuse(self, instance: Instance, file: bytes, fault: Refused) -> None:
        results: dict[str, bytes] = {}
        if self._config.node.refused == "report":
            try:
                results = self._report_refusal(file, fault)
            except ServiceDown as down:
                self._pause(down)
                return
            except CxrError as error:  # there is no study to say it in
                log.warning("no report of a refusal: %s", error.code)
        deliveries = [
            (each.name, "sr") for each in self._config.destination if results and "sr" in each.kinds
        ]
        log.info("the service refuses an instance", extra={"code": fault.code, "id": instance.id})
        self._queue.refuse(instance.id, f"{fault.code}: {fault.message}", results, deliveries)
        self._wake_senders()

    def _report_refusal(self, file: bytes, fault: Refused) -> dict[str, bytes]:
        model, source = self._service.model(), source_header(file)
        return {
            "sr": not_analysed_report(source, fault.message, model, "sr"),
            "enhanced-sr": not_analysed_report(source, fault.message, model, "enhanced-sr"),
            "basic-text-sr": not_analysed_report(source, fault.message, model, "basic-text-sr"),
        }

    def _retry(self, instance: Instance, why: str) -> None:
        if instance.attempts + 1 >= self._config.node.attempts:
            self._bury(instance, f"the service failed {instance.attempts + 1} times: {why}")
        else:
            self._queue.score_later(instance.id, backoff(instance.attempts), why)

    def _bury(self, instance: Instance, reason: str) -> None:
        log.error("an instance is dead: %s", reason, extra={"id": instance.id})
        self._queue.bury(instance.id, reason)

    def _pause(self, fault: ServiceDown) -> None:
        """Ask nothing of the service for a while; what waits keeps waiting."""
        self._down += 1
        seconds = fault.seconds if fault.seconds is not None else min(backoff(self._down - 1), 15.0)
        self._paused_until = time.monotonic() + seconds
        if self._down == 1:
            log.warning("the service takes nothing: %s", fault.why)

    def _up(self) -> None:
        if self._down:
            log.info("the service answers again")
        self._down = 0


def _fhir(file: bytes, answer: bytes) -> bytes:
    from service.explain.answer import ExplanationAnswer
    from service.explain.fhir import explanation_bundle

    return explanation_bundle(
        source_header(file), ExplanationAnswer.model_validate_json(answer)
    ).encode()


class _Deliveries:
    """Delivers to one destination, in several threads, until it is stopped.

    Attributes:
        sender: To that destination.
        connections: Threads that may run.
        fresh: Set when there is something new to deliver.
    """

    def __init__(
        self, to: Destination, config: NodeConfig, queue: Queue, stopped: threading.Event
    ) -> None:
        self._to = to
        self._node = config.node
        self._queue = queue
        self._stopped = stopped
        self._claims = Claims()
        self._failures = 0
        self.sender: Sender = sender(to, config.node, queue)
        self.connections = to.connections
        self.fresh = threading.Event()

    def run(self) -> None:
        """Deliver in this thread."""
        while not self._stopped.is_set():
            try:
                wait = self._deliver()
            except sqlite3.OperationalError:  # the disk is full
                log.exception("the queue cannot be written", extra={"to": self._to.name})
                wait = 5.0
            if wait == _IDLE_SECONDS:
                self.fresh.wait(wait)
                self.fresh.clear()
            else:
                self._stopped.wait(wait)

    def _deliver(self) -> float:
        """Deliver what is due; how long to wait then."""
        self._send_uncommitted_again()
        with self._claims.take(
            lambda limit: self._queue.due_for_delivery(self._to.name, limit),
            lambda each: (each.id, each.kind),
            self.connections,
            _BATCH,
        ) as due:
            return self._send(due)

    def _send(self, due: list[Delivery]) -> float:
        try:
            endings = self.sender.send(due)
        except Unreachable as fault:
            return self._unreachable(due, str(fault))
        except Exception:  # of one result that cannot be read, or of this program
            log.exception("a delivery could not be worked on", extra={"to": self._to.name})
            endings = {each: Later("a fault of the node") for each in due}
        if not due:
            return _IDLE_SECONDS
        self._failures = 0
        arrived = [each for each, ending in endings.items() if isinstance(ending, Arrived)]
        if arrived:
            self._queue.deliver(self._to.name, *arrived)
        for delivery, ending in endings.items():
            self._note(delivery, ending)
        for delivery in due[: len(due) if not endings else 0]:
            self._note(delivery, Later("the association ended"))
        sent = sum(isinstance(each, Arrived | Promised) for each in endings.values())
        if sent:
            audit(
                "DICOM Instances Transferred",
                source=self._node.ae_title,
                destination=self._to.name,
                outcome=SUCCESS,
                objects=sent,
            )
        return 0.0

    def _note(self, delivery: Delivery, ending: Ending) -> None:
        name = self._to.name
        if isinstance(ending, Arrived | Promised):
            pass  # noted; of what is promised the answer may have come already
        elif isinstance(ending, Unmade):
            self._queue.deliver_later(name, delivery, backoff(delivery.attempts), "made once more")
            self._queue.score_again(delivery.id)
        elif isinstance(ending, Never):
            self._bury(delivery, ending.reason)
        elif time.time() - delivery.created > self._to.give_up_seconds:
            self._bury(delivery, f"given up: {ending.reason}")
        else:
            self._queue.deliver_later(name, delivery, backoff(delivery.attempts), ending.reason)

    def _unreachable(self, due: list[Delivery], reason: str) -> float:
        for delivery in due:
            if time.time() - delivery.created > self._to.give_up_seconds:
                self._bury(delivery, f"given up: {reason}")
        if not self._failures:
            log.warning("a destination: %s", reason, extra={"to": self._to.name})
        self._failures += 1
        return min(backoff(self._failures - 1), 30.0)

    def _bury(self, delivery: Delivery, reason: str) -> None:
        log.error("a delivery is dead: %s", reason, extra={"to": self._to.name})
        audit(
            "DICOM Instances Transferred",
            source=self._node.ae_title,
            destination=self._to.name,
            outcome=SERIOUS,
            why=reason,
        )
        self._queue.bury_delivery(self._to.name, delivery, reason)

    def _send_uncommitted_again(self) -> None:
        if self._to.storage_commitment:
            for each in self._queue.uncommitted(self._to.name, _COMMITMENT_SECONDS):
                self._queue.send_again(self._to.name, each, "no answer to storage commitment")
