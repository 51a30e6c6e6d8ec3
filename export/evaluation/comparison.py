"""Another runtime, precision or bundle over the same images, image by image."""

from __future__ import annotations

import numpy as np

from export.evaluation.delong import area, paired_test
from export.evaluation.records import Compared, Comparison, Flip
from export.evaluation.scoring import Scored


def compare(name: str, base: Scored, other: Scored) -> Compared:
    """Put another variant's answers beside the evaluated ones.

    Args:
        name: What the other was asked for by.
        base: The evaluated answers.
        other: Over the same dataset; images that only one of both scored are left out.
    """
    findings = [one_finding(label, base, other) for label in other.pathologies]
    return Compared(name=name, model=other.model, findings=tuple(findings))


def one_finding(label: str, base: Scored, other: Scored) -> Comparison:
    """The comparison for one pathology, over the images whose label is known."""
    rows = {one.image.name: row for row, one in enumerate(other.images)}
    known = base.known(label)
    pairs = [
        (row, rows[one.image.name])
        for row, one in enumerate(base.images)
        if known[row] and one.image.name in rows
    ]
    ours, theirs = np.array(pairs, int).reshape(-1, 2).T
    mine, yours = base.pathologies.index(label), other.pathologies.index(label)
    truth = base.truth(label)[ours]
    first, second = base.probabilities[ours, mine], other.probabilities[theirs, yours]
    apart = np.abs(second - first)
    test = paired_test(truth, first, second)
    flipped = base.positive[ours, mine] != other.positive[theirs, yours]
    return Comparison(
        label=label,
        images=len(pairs),
        auc=area(truth, second),
        difference=test.difference,
        p_value=test.p_value,
        max_probability_difference=float(apart.max(initial=0)),
        mean_probability_difference=float(apart.mean()) if len(apart) else 0.0,
        flips=tuple(
            Flip(
                file=base.images[ours[place]].image.name,
                positive=bool(truth[place]),
                probability=float(first[place]),
                other_probability=float(second[place]),
            )
            for place in np.flatnonzero(flipped)
        ),
        note=test.note,
    )
