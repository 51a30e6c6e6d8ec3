"""Whether an answer is the right one."""

from __future__ import annotations

import json
from typing import Any


class Expected:
    """The right answer to one image: what it got when nothing else was asked.

    Batches add in another order than single images do, so scores may differ by a little;
    decisions, the pixels that were scored and the model may not.

    Args:
        answer: Of /predict, parsed.
        tolerance: By which a score may differ.
    """

    def __init__(self, answer: dict[str, Any], tolerance: float) -> None:
        self._answer = answer
        self._tolerance = tolerance
        self._seen: dict[bytes, float] = {}

    def difference(self, body: bytes) -> float:
        """The largest difference of a score; infinite for a wrong answer."""
        if body not in self._seen:
            if len(self._seen) > 1000:
                self._seen.clear()
            self._seen[body] = self._compare(body)
        return self._seen[body]

    def _compare(self, body: bytes) -> float:
        right = self._answer
        try:
            answer = json.loads(body)
            same = (
                answer["image"] == right["image"]
                and answer["model"] == right["model"]
                and answer["positive"] is right["positive"]
                and _decisions(answer) == _decisions(right)
            )
            if not same:
                return float("inf")
            pairs = [
                (answer["pathologies"][name]["score"], found["score"])
                for name, found in right["pathologies"].items()
            ]
        except (ValueError, KeyError, TypeError):
            return float("inf")
        largest = max(abs(one - other) for one, other in pairs)
        return float(largest) if largest <= self._tolerance else float("inf")


class Probabilities(Expected):
    """The same of any service that answers with probabilities, and of nothing but those."""

    def _compare(self, body: bytes) -> float:
        right = probabilities(self._answer)
        try:
            found = probabilities(json.loads(body))
        except (ValueError, KeyError, TypeError, IndexError):
            return float("inf")
        if len(found) != len(right):
            return float("inf")
        largest = max(abs(one - other) for one, other in zip(found, right, strict=True))
        return float(largest) if largest <= self._tolerance else float("inf")


def probabilities(answer: Any) -> list[float]:
    """The probabilities of an answer, ours or a peer's: by finding, in an object, or bare lists.

    Raises:
        KeyError, TypeError, IndexError: There are none.
    """
    if isinstance(answer, list):
        return answer if isinstance(answer[0], float) else probabilities(answer[0])
    if "pathologies" in answer:
        return [found["probability"] for found in answer["pathologies"].values()]
    return probabilities(answer["probabilities"])


def _decisions(answer: dict[str, Any]) -> dict[str, bool]:
    return {name: found["positive"] for name, found in answer["pathologies"].items()}
