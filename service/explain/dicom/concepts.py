"""Coded concepts of the structured report."""

from __future__ import annotations

from pydicom.sr.coding import Code

SCHEME = "99CXR"
"""Private coding scheme for what no public one names."""

CHEST_RADIOGRAPHY = Code("399208008", "SCT", "Plain chest X-ray")
SCORE = Code("score", SCHEME, "Score, operating point 0.5")
PROBABILITY = Code("probability", SCHEME, "Uncalibrated probability")
MOST_EVIDENCE = Code("evidence", SCHEME, "Region of most evidence in a heat map")
NO_UNITS = Code("1", "UCUM", "no units")

_PATHOLOGIES = {
    "Atelectasis": Code("46621007", "SCT", "Atelectasis"),
    "Cardiomegaly": Code("8186001", "SCT", "Cardiomegaly"),
    "Edema": Code("19242006", "SCT", "Pulmonary edema"),
    "Effusion": Code("60046008", "SCT", "Pleural effusion"),
    "Pneumonia": Code("233604007", "SCT", "Pneumonia"),
    "Pneumothorax": Code("36118008", "SCT", "Pneumothorax"),
}
"""Labels that mean one SNOMED CT concept; a label that might mean several stays a private code."""


def pathology(label: str) -> Code:
    """The concept of one of the network's labels."""
    return _PATHOLOGIES.get(label) or Code(label[:16], SCHEME, label.replace("_", " ")[:64])
