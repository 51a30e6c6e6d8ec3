"""Online work: from a verified model bundle to answers.

`bentoml serve service:ChestRadiographs` starts the service; the classes are imported when they
are asked for, so that `import service` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.app import ChestRadiographs, Explainer

__all__ = ["ChestRadiographs", "Explainer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from service import app

    return getattr(app, name)
