"""What can be said of weights from a file that nobody published."""

from __future__ import annotations

from export.card.facts import Facts

FACTS = Facts(
    intended="Not stated: whoever made the weights has to say.",
    not_intended="Clinical use.",
    training=("Not stated.",),
    published=(),
    published_in="None that this program knows of.",
    remarks=(),
    failures=(
        "Nothing is known but what an evaluation shows; without one, nothing good should be "
        "assumed.",
        "The probability is not calibrated unless an evaluation says otherwise.",
    ),
    attribution=("Not stated.",),
)
