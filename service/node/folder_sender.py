"""Delivery into a folder: STUDY/SERIES/INSTANCE.dcm."""

from __future__ import annotations

import os

from pydicom import dcmread

from service.durable import write_whole
from service.node.config import Destination
from service.node.outcomes import Arrived, Ending, Later, Unreachable
from service.node.queue import Delivery, Queue


class FolderSender:
    """Writes to one folder.

    Args:
        destination: Which.
        queue: Where the files are.
    """

    def __init__(self, destination: Destination, queue: Queue) -> None:
        if destination.folder is None:
            raise ValueError("the destination has no folder")
        self.files: tuple[str, ...] = destination.objects
        self._folder = destination.folder
        self._queue = queue

    def check(self) -> str:
        """Look whether the folder can be written."""
        if not os.access(self._folder, os.W_OK):
            raise Unreachable("the folder cannot be written")
        return "the folder can be written"

    def send(self, deliveries: list[Delivery]) -> dict[Delivery, Ending]:
        """Write results."""
        return {each: self._write(each) for each in deliveries}

    def _write(self, delivery: Delivery) -> Ending:
        try:
            content = self._queue.result(delivery.id, delivery.kind).read_bytes()
            header = dcmread(
                self._queue.result(delivery.id, delivery.kind), stop_before_pixels=True
            )
            folder = self._folder / header.StudyInstanceUID / header.SeriesInstanceUID
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / f"{header.SOPInstanceUID}.dcm", content)
        except OSError as error:
            return Later(f"the folder cannot be written ({type(error).__name__})")
        return Arrived()
