"""How the attempt to deliver a result ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from service.node.queue import Delivery


@dataclass(frozen=True)
class Arrived:
    """The destination has it, now or from before."""


@dataclass(frozen=True)
class Promised:
    """The destination has it and was asked to commit itself; its answer ends the delivery."""


@dataclass(frozen=True)
class Later:
    """It may be taken later."""

    reason: str


@dataclass(frozen=True)
class Unmade:
    """It would be taken in a form that was not made of it: its image is scored once more."""


@dataclass(frozen=True)
class Never:
    """It will never be taken."""

    reason: str


Ending = Arrived | Promised | Later | Unmade | Never


class Unreachable(Exception):
    """Nothing can be delivered to the destination at present, whatever it is."""


class Sender(Protocol):
    """Delivers results to one destination; called from several threads."""

    @property
    def files(self) -> tuple[str, ...]:
        """Kinds of files that the destination takes, as the field `objects` names them."""

    def send(self, deliveries: list[Delivery]) -> dict[Delivery, Ending]:
        """Deliver; what is missing in the answer was not tried.

        Without deliveries it closes what it kept open and has not used of late.

        Raises:
            Unreachable: Nothing can be delivered at present.
        """

    def check(self) -> str:
        """Say in a sentence that the destination answers.

        Raises:
            Unreachable: It does not.
        """
