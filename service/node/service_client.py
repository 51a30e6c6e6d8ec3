"""The prediction service as the node sees it."""

from __future__ import annotations

from pathlib import Path

import httpx

from service.errors import SettingRefused
from service.multipart_related import read_parts
from service.network.answer import ModelAnswer
from service.node.config import Node


class ServiceDown(Exception):
    """The service takes nothing at present: not this image's fault.

    Attributes:
        seconds: After which to ask again; None where the service did not say.
        why: In a word.
    """

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.why, self.seconds = why, seconds


class ServiceFailed(Exception):
    """The service failed on this image; it may not fail again."""


class Refused(Exception):
    """The service refuses this image for good.

    Attributes:
        code: Of the error.
        message: For a person; holds nothing of the patient.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


_BUSY = frozenset({401, 403, 404, 405, 429, 502, 503})
"""Statuses that say nothing of the image: no key, a wrong address, too much to do, not up."""

_FAILED = frozenset({408, 500, 504})


class ServiceClient:
    """Asks for results. Safe to use from several threads.

    Args:
        node: Where the service is, its key, the deadline.
    """

    def __init__(self, node: Node) -> None:
        self._form = {
            "target": node.target,
            "method": node.method,
            "picture_side": str(node.picture_side),
        }
        self._client = httpx.Client(
            base_url=node.service_url,
            headers=key_header(node.api_key_file),
            timeout=httpx.Timeout(node.deadline_seconds, connect=5.0),
            limits=httpx.Limits(max_connections=node.scorers + 1),
        )

    def results(self, file: bytes, objects: tuple[str, ...]) -> dict[str, bytes]:
        """The results for an image, by their kinds.

        Args:
            file: A DICOM file.
            objects: The kinds, as the field `objects` of /explain names them.

        Raises:
            ServiceDown: The service takes nothing at present.
            ServiceFailed: It failed on this image.
            Refused: It refuses this image.
        """
        try:
            answer = self._client.post(
                "/explain",
                data=self._form | {"objects": ",".join(objects)},
                files={"image": ("image", file)},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ServiceDown("the service cannot be reached") from error
        except httpx.TransportError as error:
            raise ServiceFailed("the service broke off") from error
        if answer.status_code == 200:
            try:
                parts = read_parts(answer.content, answer.headers.get("content-type", ""))
            except ValueError as error:
                raise ServiceFailed("the service's answer is broken") from error
            return {part.name: part.content for part in parts}
        code, message = _error(answer)
        if code == "explainer_unavailable":  # it may be this image that ends it
            raise ServiceFailed(code)
        if answer.status_code in _BUSY or code is None:
            raise ServiceDown(f"status {answer.status_code}", _seconds(answer))
        if answer.status_code in _FAILED:
            raise ServiceFailed(code)
        raise Refused(code, message)

    def model(self) -> ModelAnswer:
        """The model that answers.

        Raises:
            ServiceDown: The service cannot say at present.
        """
        try:
            answer = self._client.get("/about.json")
            answer.raise_for_status()
            return ModelAnswer.model_validate(answer.json()["model"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise ServiceDown("the service cannot say its model") from error


def key_header(file: Path | None) -> dict[str, str]:
    """The header that carries the API key in a file; none without one.

    Raises:
        SettingRefused: The file cannot be read.
    """
    if file is None:
        return {}
    try:
        return {"X-API-Key": file.read_text(encoding="utf-8").strip()}
    except OSError as error:
        raise SettingRefused(f"api_key_file: {file}: {error.strerror}") from error


def _error(answer: httpx.Response) -> tuple[str | None, str]:
    try:
        error = answer.json()["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return None, ""


def _seconds(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None
