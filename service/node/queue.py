"""The durable queue: a row an instance and a row a delivery in SQLite, beside a folder of files.

A file is on disk, with its name, before the row that speaks of it is; a row is on disk before
anybody is told. So a crash at any point leaves either a row with its file or a file without a row,
which is removed at the next start.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.durable import UNFINISHED, write_whole

Taken = Literal["queued", "duplicate", "conflict"]

RESULTS = ("sr", "enhanced-sr", "basic-text-sr", "sc", "fhir")
"""Kinds of files that are made of an instance."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instances (
    id TEXT PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    received REAL NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    finished REAL,
    kept INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS instances_due ON instances (state, due);
CREATE TABLE IF NOT EXISTS deliveries (
    id TEXT NOT NULL REFERENCES instances (id),
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    due REAL NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    finished REAL,
    commitment TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (id, destination, kind)
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (destination, state, due);
"""
"""Instances are received, scored, refused or dead; deliveries are waiting, committing, delivered or
dead. An instance whose deliveries are all delivered or dead has a time in `finished`."""


@dataclass(frozen=True)
class Instance:
    """An instance that waits to be scored."""

    id: str
    uid: str
    attempts: int


@dataclass(frozen=True)
class Delivery:
    """A result that waits to be delivered.

    Attributes:
        id: Of the instance that it is made from.
        kind: "sr", "sc" or "fhir".
        attempts: That failed so far.
        created: When it was made, in seconds since 1970.
    """

    id: str
    kind: str
    attempts: int
    created: float


class Queue:
    """One process's hold on the queue; safe to use from several threads.

    Args:
        folder: Of the queue; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._received = folder / "received"
        self._results = folder / "results"
        for each in (self._received, self._results):
            each.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(
            folder / "queue.sqlite", timeout=60, check_same_thread=False, isolation_level=None
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(_SCHEMA)
        # A connection of its own: whoever looks something up does not wait for a commit.
        self._reading = threading.Lock()
        self._reader = sqlite3.connect(
            folder / "queue.sqlite", timeout=60, check_same_thread=False, isolation_level=None
        )

    def close(self) -> None:
        with self._lock, self._reading:
            self._reader.close()
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with self._reading:
            return self._reader.execute(sql, values).fetchall()

    # Receiving

    def free_bytes(self) -> int:
        """Bytes that are free where the queue is."""
        return shutil.disk_usage(self.folder).free

    def waiting(self) -> int:
        """Instances that are not scored yet."""
        ((count,),) = self._rows("SELECT count(*) FROM instances WHERE state = 'received'")
        return int(str(count))

    def take(self, uid: str, digest: str, file: bytes) -> Taken:
        """Keep an instance; it is durable when this returns.

        Args:
            uid: SOP Instance UID.
            digest: Of its data set, which says whether another one of the UID is the same.
            file: The DICOM file.

        Returns:
            "queued"; "duplicate" where the same bytes are known; "conflict" where the UID is known
            with other bytes, and nothing was kept.

        Raises:
            OSError: The disk has no room.
        """
        if known := self._known(uid):
            return "duplicate" if known == digest else "conflict"
        key = hashlib.sha256(f"{uid}\n{digest}".encode()).hexdigest()[:32]
        write_whole(self.file(key), file)
        now = time.time()
        try:
            with self._transaction() as database:
                database.execute(
                    "INSERT INTO instances (id, uid, digest, received, state, due) "
                    "VALUES (?, ?, ?, ?, 'received', ?)",
                    (key, uid, digest, now, now),
                )
        except sqlite3.IntegrityError:  # another association was quicker
            if self._known(uid) == digest:
                return "duplicate"
            self.file(key).unlink(missing_ok=True)
            return "conflict"
        except sqlite3.OperationalError as error:
            raise OSError("the queue's database cannot be written") from error
        return "queued"

    def _known(self, uid: str) -> str | None:
        rows = self._rows("SELECT digest FROM instances WHERE uid = ?", uid)
        return str(rows[0][0]) if rows else None

    def file(self, key: str) -> Path:
        """Where an instance's file is."""
        return self._received / f"{key}.dcm"

    def kept_file(self, uid: str) -> bytes | None:
        """The file of an instance that is known; None where it is no longer kept."""
        rows = self._rows("SELECT id FROM instances WHERE uid = ?", uid)
        try:
            return self.file(str(rows[0][0])).read_bytes() if rows else None
        except OSError:
            return None

    # Scoring

    def due_for_scoring(self, limit: int) -> list[Instance]:
        """Instances whose turn it is, the oldest first."""
        rows = self._rows(
            "SELECT id, uid, attempts FROM instances WHERE state = 'received' AND due <= ? "
            "ORDER BY due LIMIT ?",
            time.time(),
            limit,
        )
        return [Instance(str(key), str(uid), int(str(tries))) for key, uid, tries in rows]

    def result(self, key: str, kind: str) -> Path:
        """Where a result's file is."""
        return self._results / f"{key}.{kind}"

    def score(
        self, key: str, results: Mapping[str, bytes], deliveries: Iterable[tuple[str, str]]
    ) -> None:
        """Keep an instance's results and what is to be delivered.

        Args:
            key: Of the instance.
            results: Files by their kinds.
            deliveries: Destination and kind of each.
        """
        for kind, content in results.items():
            write_whole(self.result(key, kind), content)
        self._scored(key, "scored", "", deliveries)

    def refuse(
        self,
        key: str,
        reason: str,
        results: Mapping[str, bytes],
        deliveries: Iterable[tuple[str, str]],
    ) -> None:
        """End an instance that the service refuses to score; a report of that may be delivered."""
        for kind, content in results.items():
            write_whole(self.result(key, kind), content)
        self._scored(key, "refused", reason, deliveries)

    def _scored(
        self, key: str, state: str, reason: str, deliveries: Iterable[tuple[str, str]]
    ) -> None:
        now = time.time()
        rows = [(key, name, kind, now, now) for name, kind in deliveries]
        with self._transaction() as database:
            database.execute(
                "UPDATE instances SET state = ?, reason = ?, finished = ? WHERE id = ?",
                (state, reason, None if rows else now, key),
            )
            database.executemany(
                "INSERT OR IGNORE INTO deliveries (id, destination, kind, state, created, due) "
                "VALUES (?, ?, ?, 'waiting', ?, ?)",
                rows,
            )

    def score_later(self, key: str, seconds: float, reason: str) -> None:
        """Try an instance again after a while."""
        with self._transaction() as database:
            database.execute(
                "UPDATE instances SET attempts = attempts + 1, due = ?, reason = ? WHERE id = ?",
                (time.time() + seconds, reason, key),
            )

    def score_again(self, key: str) -> None:
        """Have an instance's results made once more; what was delivered stays delivered."""
        with self._transaction() as database:
            database.execute(
                "UPDATE instances SET state = 'received', due = ?, finished = NULL WHERE id = ?",
                (time.time(), key),
            )

    def bury(self, key: str, reason: str) -> None:
        """End an instance for good."""
        with self._transaction() as database:
            database.execute(
                "UPDATE instances SET state = 'dead', reason = ?, finished = ? WHERE id = ?",
                (reason, time.time(), key),
            )

    # Delivering

    def due_for_delivery(self, destination: str, limit: int) -> list[Delivery]:
        """Deliveries of one destination whose turn it is, the oldest first."""
        rows = self._rows(
            "SELECT id, kind, attempts, created FROM deliveries WHERE destination = ? "
            "AND state = 'waiting' AND due <= ? ORDER BY due LIMIT ?",
            destination,
            time.time(),
            limit,
        )
        return [
            Delivery(str(key), str(kind), int(str(tries)), float(str(created)))
            for key, kind, tries, created in rows
        ]

    def deliver(self, destination: str, *deliveries: Delivery) -> None:
        """Deliveries have arrived."""
        self._end_deliveries(destination, deliveries, "delivered", "")

    def bury_delivery(self, destination: str, delivery: Delivery, reason: str) -> None:
        """A delivery will never arrive."""
        self._end_deliveries(destination, (delivery,), "dead", reason)

    def _end_deliveries(
        self, destination: str, deliveries: Collection[Delivery], state: str, reason: str
    ) -> None:
        now = time.time()
        with self._transaction() as database:
            database.executemany(
                "UPDATE deliveries SET state = ?, reason = ?, finished = ?, commitment = '' "
                "WHERE id = ? AND destination = ? AND kind = ?",
                [(state, reason, now, each.id, destination, each.kind) for each in deliveries],
            )
            database.executemany(
                "UPDATE instances SET finished = ? WHERE id = ? AND NOT EXISTS (SELECT 1 FROM "
                "deliveries WHERE id = ? AND state IN ('waiting', 'committing'))",
                [(now, each.id, each.id) for each in deliveries],
            )

    def deliver_later(
        self, destination: str, delivery: Delivery, seconds: float, reason: str
    ) -> None:
        """Try a delivery again after a while."""
        with self._transaction() as database:
            database.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due = ?, reason = ? "
                "WHERE id = ? AND destination = ? AND kind = ?",
                (time.time() + seconds, reason, delivery.id, destination, delivery.kind),
            )

    def await_commitment(self, destination: str, delivery: Delivery, commitment: str) -> None:
        """A delivery has arrived, and its destination was asked to commit itself to keep it.

        Args:
            destination: That was asked.
            delivery: What it was asked for.
            commitment: Transaction UID and SOP Instance UID, with a space between.
        """
        with self._transaction() as database:
            database.execute(
                "UPDATE deliveries SET state = 'committing', commitment = ?, due = ? "
                "WHERE id = ? AND destination = ? AND kind = ?",
                (commitment, time.time(), delivery.id, destination, delivery.kind),
            )

    def committed(self, transaction: str, failed: Collection[str]) -> None:
        """A destination has answered: what it failed to commit is sent again."""
        rows = self._rows(
            "SELECT id, destination, kind, attempts, created, commitment FROM deliveries "
            "WHERE state = 'committing' AND commitment LIKE ? || ' %'",
            transaction,
        )
        for key, name, kind, attempts, created, commitment in rows:
            delivery = Delivery(str(key), str(kind), int(str(attempts)), float(str(created)))
            if str(commitment).split()[1] in failed:
                self.send_again(str(name), delivery, "the destination did not commit itself")
            else:
                self.deliver(str(name), delivery)

    def send_again(self, destination: str, delivery: Delivery, reason: str) -> None:
        """Let a delivery that waits for its commitment be sent once more."""
        with self._transaction() as database:
            database.execute(
                "UPDATE deliveries SET state = 'waiting', attempts = attempts + 1, due = ?, "
                "reason = ? WHERE id = ? AND destination = ? AND kind = ?",
                (time.time() + 60, reason, delivery.id, destination, delivery.kind),
            )

    def uncommitted(self, destination: str, seconds: float) -> list[Delivery]:
        """Deliveries that have waited longer than that for their destination's answer."""
        rows = self._rows(
            "SELECT id, kind, attempts, created FROM deliveries WHERE destination = ? "
            "AND state = 'committing' AND due <= ?",
            destination,
            time.time() - seconds,
        )
        return [
            Delivery(str(key), str(kind), int(str(tries)), float(str(created)))
            for key, kind, tries, created in rows
        ]

    # Keeping house

    def clean(self, keep_seconds: float, remember_days: float) -> None:
        """Remove files of what was finished long enough ago, and forget what is older still."""
        now = time.time()
        ended = self._rows(
            "SELECT id FROM instances WHERE kept = 1 AND state IN ('scored', 'refused') "
            "AND finished <= ?",
            now - keep_seconds,
        )
        for (key,) in ended:
            if self._rows("SELECT 1 FROM deliveries WHERE id = ? AND state = 'dead'", key):
                continue  # it can be tried again
            self._remove_files(str(key))
            with self._transaction() as database:
                database.execute("UPDATE instances SET kept = 0 WHERE id = ?", (key,))
        with self._transaction() as database:
            old = "SELECT id FROM instances WHERE kept = 0 AND finished <= ?"
            limit = (now - remember_days * 86_400,)
            database.execute(f"DELETE FROM deliveries WHERE id IN ({old})", limit)  # noqa: S608
            database.execute("DELETE FROM instances WHERE kept = 0 AND finished <= ?", limit)

    def _remove_files(self, key: str) -> None:
        self.file(key).unlink(missing_ok=True)
        for kind in RESULTS:
            self.result(key, kind).unlink(missing_ok=True)

    def remove_unfinished(self, part: Literal["received", "results"]) -> None:
        """Remove files without a row, which a crash left; for the only process that writes them."""
        known = {str(key) for (key,) in self._rows("SELECT id FROM instances WHERE kept = 1")}
        for each in (self._received if part == "received" else self._results).iterdir():
            if each.name.endswith(UNFINISHED) or each.name.split(".")[0] not in known:
                each.unlink(missing_ok=True)

    # People

    def counts(self) -> dict[str, int]:
        """Instances by state."""
        rows = self._rows("SELECT state, count(*) FROM instances GROUP BY state")
        return {str(state): int(str(count)) for state, count in rows}

    def delivery_counts(self) -> dict[tuple[str, str], int]:
        """Deliveries by destination and state."""
        rows = self._rows(
            "SELECT destination, state, count(*) FROM deliveries GROUP BY destination, state"
        )
        return {(str(name), str(state)): int(str(count)) for name, state, count in rows}

    def oldest(self) -> dict[str, float]:
        """Seconds that the oldest has waited: to be scored, and by destination to be delivered."""
        now = time.time()
        found = {
            f"destination {name}": now - float(str(since))
            for name, since in self._rows(
                "SELECT destination, min(created) FROM deliveries WHERE state IN "
                "('waiting', 'committing') GROUP BY destination"
            )
        }
        ((since,),) = self._rows("SELECT min(received) FROM instances WHERE state = 'received'")
        if since is not None:
            found["scoring"] = now - float(str(since))
        return found

    def dead(self) -> list[tuple[str, str, str]]:
        """What is dead or refused: its id, where it ended and why."""
        rows = self._rows(
            "SELECT id, state, reason FROM instances WHERE state IN ('dead', 'refused') UNION ALL "
            "SELECT id, destination || ' ' || kind, reason FROM deliveries WHERE state = 'dead'"
        )
        return [(str(key), str(where), str(reason)) for key, where, reason in rows]

    def retry(self, key: str | None) -> int:
        """Try what is dead again: one instance, or all; how many rows that were."""
        chosen, values = ("id = ?", (key,)) if key else ("1", ())
        now = time.time()
        with self._transaction() as database:
            first = database.execute(
                "UPDATE instances SET state = 'received', attempts = 0, due = ?, finished = NULL "  # noqa: S608
                f"WHERE state = 'dead' AND kept = 1 AND {chosen}",
                (now, *values),
            )
            second = database.execute(
                "UPDATE deliveries SET state = 'waiting', attempts = 0, created = ?, due = ?, "  # noqa: S608
                f"finished = NULL WHERE state = 'dead' AND {chosen}",
                (now, now, *values),
            )
            database.execute(
                "UPDATE instances SET finished = NULL WHERE id IN "
                "(SELECT id FROM deliveries WHERE state = 'waiting')"
            )
            return first.rowcount + second.rowcount

    def drop(self, key: str) -> bool:
        """Forget an instance and remove its files; whether there was one."""
        with self._transaction() as database:
            database.execute("DELETE FROM deliveries WHERE id = ?", (key,))
            gone = database.execute("DELETE FROM instances WHERE id = ?", (key,)).rowcount
        self._remove_files(key)
        return bool(gone)
