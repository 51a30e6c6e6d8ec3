"""What is fitted for one finding."""

from __future__ import annotations

import numpy as np

from export.errors import FitRefused
from export.evaluation.records import Rate
from export.site import calibrator, cut, power
from export.site.records import Asked
from export.site.sides import Side
from export.site.tails import lower_tail, upper_tail
from service.network.site import OperatingPoint, Share, SiteFinding, Uncertain


def fit(fitted: Side, judged: Side, asked: Asked) -> tuple[SiteFinding, calibrator.Calibrator]:
    """Fit an operating point, a calibration and the bounds of "uncertain".

    Raises:
        FitRefused: There are too few patients for what is asked; the message has the number.
    """
    fewest = max(power.patients_for_error(asked.error), calibrator.FOLDS)
    fitted.require(fewest, fewest, f"for an error rate of {asked.error:g} in each class")
    _require_for_aim(fitted, judged, asked)
    arrays = shows, probabilities, whose = fitted.truth, fitted.probabilities, fitted.patients
    at = cut.choose(*arrays, asked.aim, asked.prevalence)
    lowest = lower_tail(probabilities[shows], whose[shows], asked.error)
    highest = upper_tail(probabilities[~shows], whose[~shows], asked.error)
    if at is None or lowest is None or highest is None:
        raise FitRefused("patients with many images leave too few for the tail that is asked for")
    found = calibrator.fit(*arrays)
    _require_for_width(fitted, judged, at, asked.half_width)
    low, high = cut.interval(*arrays, asked.aim, asked.prevalence)
    sensitivity, specificity = judged.reached(judged.probabilities > at)
    share = float(shows.mean())
    return SiteFinding(
        images=len(shows),
        patients=len(np.unique(whose)),
        positives=int(shows.sum()),
        negatives=int((~shows).sum()),
        prevalence_of_images=share,
        prevalence=asked.prevalence or share,
        operating_point=OperatingPoint(
            probability=at,
            low=low,
            high=high,
            aim=asked.aim,
            sensitivity=_share(sensitivity),
            specificity=_share(specificity),
        ),
        calibration=found.fitted,
        uncertain=Uncertain(error=asked.error, lowest_positive=lowest, highest_negative=highest),
    ), found


def _require_for_aim(fitted: Side, judged: Side, asked: Asked) -> None:
    """Refuse too few patients of the class that the aim is about."""
    aim, half = asked.aim, asked.half_width
    if aim.kind == "cost":
        return
    needed = max(power.patients_needed(aim.value, half), power.patients_for_error(1 - aim.value))
    why = f"for a {aim.kind} of {aim.value:g} to within {half:g} (--half-width)"
    for one in (fitted, judged):
        if aim.kind == "sensitivity":
            one.require(needed, 0, why)
        else:
            one.require(0, needed, why)


def _require_for_width(fitted: Side, judged: Side, at: float, half: float) -> None:
    """Refuse too few patients for intervals of the width, at the shares that the cut reaches."""
    over = fitted.probabilities > at
    sensitivity = float(over[fitted.truth].mean())
    specificity = float((~over[~fitted.truth]).mean())
    why = (
        f"to know a sensitivity of {sensitivity:.2f} and a specificity of {specificity:.2f} to "
        f"within {half:g} (--half-width)"
    )
    for one in (fitted, judged):
        one.require(
            power.patients_needed(sensitivity, half), power.patients_needed(specificity, half), why
        )


def _share(found: Rate) -> Share:
    return Share(
        count=found.count,
        of=found.of,
        value=found.value or 0.0,
        low=found.low or 0.0,
        high=1.0 if found.high is None else found.high,
    )
