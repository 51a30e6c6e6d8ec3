"""An explanation as data: a map, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.errors import InferenceFailed
from service.explain.cam.class_map import ClassMap
from service.explain.cam.request import MapRequest
from service.explain.faithfulness import Faithfulness
from service.explain.hotspot import (
    BOX_SHARE,
    Hotspot,
    Unseen,
    describe_hotspot,
    locate,
    seen_heat,
    unseen,
)
from service.network.scores import Finding, findings
from service.network.site import Site, SiteDecision
from service.radiograph.preprocess import Geometry

SCORE_TOLERANCE = 0.05
"""Largest difference between the served score and the explainer's own that still lets a map of
one explain the other: a tenth of the way from the operating point to either end."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The explanation of one image's score for one target.

    Attributes:
        request: What was asked for.
        served: The finding as the serving runtime predicts it.
        own: The same finding by the pass that made the map.
        tolerance: Largest difference of the two scores for which a map is given.
        values: float32 (n, n) in [0, 1], divided by its peak; None where there is no map.
        place: Where it is hottest; None where there is no map.
        words: The place in words; None where there is no map.
        geometry: Where the network's square lies in the source image.
        faithfulness: How the score hangs on the map; None where not asked for or no map.
        reason: Why there is no map, one sentence; None where there is one.
        site: What was fitted to the site; None where nothing was.
    """

    request: MapRequest
    served: Finding
    own: Finding
    tolerance: float
    values: np.ndarray | None
    place: Hotspot | None
    words: str | None
    geometry: Geometry
    faithfulness: Faithfulness | None
    reason: str | None
    site: Site | None = None

    @property
    def _served(self) -> tuple[str, float]:
        return self.served.label, self.served.probability

    @property
    def site_decision(self) -> SiteDecision | None:
        """What the site's own file makes of the served finding."""
        return self.site.decision(*self._served) if self.site else None

    @property
    def site_words(self) -> str | None:
        """The same in words."""
        return self.site.words(*self._served) if self.site else None

    @property
    def sentence(self) -> str:
        """The decision in words: "Pneumonia: negative, score 0.31 (operating point 0.5)"."""
        decision = "positive" if self.served.positive else "negative"
        target = self.request.target.replace("_", " ")
        return f"{target}: {decision}, score {self.served.score:.2f} (operating point 0.5)"

    @property
    def settings(self) -> tuple[object, ...]:
        """What was asked for and how the image was framed: what else decides what is shown."""
        request, geometry = self.request, self.geometry
        return request.target, request.method, request.layer, geometry.framing, *geometry.cut

    def without_region_of_negative(self) -> Explanation:
        """The same, without the map where the target is negative.

        A map is divided by its own peak: of a negative it would be as bright as of a positive, and
        in an archive nobody asked for it.
        """
        if self.served.positive or self.values is None:
            return self
        reason = f"{self.request.target} is negative: no region is shown."
        return replace(self, values=None, place=None, words=None, reason=reason)

    @property
    def unseen(self) -> Unseen:
        """Margins that the network never saw."""
        return unseen(self.geometry)

    @property
    def difference(self) -> float:
        """Between the served score and the explainer's own, at least 0."""
        return abs(self.served.score - self.own.score)


def finding(target: str, output: int, logit: float, operating_points: Sequence[float]) -> Finding:
    """One target's finding from its logit.

    Raises:
        InferenceFailed: The logit is not finite.
    """
    if not np.isfinite(logit):
        raise InferenceFailed("The network gave no finite answer for this image.")
    (found,) = findings(np.array([logit], np.float32), [target], [operating_points[output]])
    return found


def reason_for_no_map(class_map: ClassMap, served: Finding, own: Finding, tolerance: float) -> str:
    """Why a map must not be shown; "" where it may be."""
    if abs(served.score - own.score) > tolerance:
        return (
            f"The explainer scores {own.label} {own.score:.3f} where the service scores "
            f"{served.score:.3f}, more than {tolerance:g} apart: a map of the one does not "
            "explain the other."
        )
    if class_map.empty:
        return f"Nothing in the image speaks for {own.label}: the map is zero everywhere."
    return ""


def _beside_the_image(values: np.ndarray, geometry: Geometry) -> bool:
    """Whether letterboxing's black is hotter than anything in the image."""
    if geometry.seen == geometry.square:
        return False
    return bool(seen_heat(values, geometry).max() < BOX_SHARE)


def explanation(
    request: MapRequest,
    class_map: ClassMap,
    geometry: Geometry,
    operating_points: Sequence[float],
    served_logit: float | None = None,
    patient_orientation: tuple[str, str] | None = None,
    faithfulness: Faithfulness | None = None,
    tolerance: float = SCORE_TOLERANCE,
    site: Site | None = None,
) -> Explanation:
    """Check a map and locate its hotspot.

    Args:
        request: What was asked for.
        class_map: What was computed.
        geometry: Where the network's square lies in the source image.
        operating_points: One per output, NaN where none is published.
        served_logit: The target's logit by the runtime that predicts; the map's own where it
            came from that runtime.
        patient_orientation: DICOM Patient Orientation (0020,0020), where known.
        faithfulness: As measured with this map, where it was.
        tolerance: Of the two scores' difference.
        site: What was fitted to the site; None where nothing was.

    Raises:
        InferenceFailed: A logit is not finite.
    """
    own = finding(request.target, request.output, class_map.logit, operating_points)
    served = own
    if served_logit is not None:
        served = finding(request.target, request.output, served_logit, operating_points)
    reason = reason_for_no_map(class_map, served, own, tolerance)
    values = None if reason else class_map.normalised()
    if values is not None and _beside_the_image(values, geometry):
        reason, values = "The map is hottest in the black that was added beside the image.", None
    place = None if values is None else locate(values, geometry)
    words = None if place is None else describe_hotspot(place, geometry, patient_orientation)
    return Explanation(
        request=request,
        served=served,
        own=own,
        tolerance=tolerance,
        values=values,
        place=place,
        words=words,
        geometry=geometry,
        faithfulness=None if reason else faithfulness,
        reason=reason or None,
        site=site,
    )
