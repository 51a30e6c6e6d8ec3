"""Coded concepts of the structured report."""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

SCHEME = "99CXR"
"""Private coding scheme for what no public one names."""

PROCEDURE = codes.SCT.ImagingProcedure
"""What was done, of CID 100 "Quantitative Diagnostic Imaging Procedure", which has no radiography
of the chest."""
SCORE = Code("score", SCHEME, "Score, operating point 0.5")
PROBABILITY = Code("probability", SCHEME, "Uncalibrated probability")
CALIBRATED_PROBABILITY = Code("calibrated", SCHEME, "Calibrated probability at this site")
SITE_DECISION = Code("site decision", SCHEME, "Decision at this site")
SITE_FILE = Code("site file", SCHEME, "Site file, SHA-256")
MOST_EVIDENCE = Code("evidence", SCHEME, "Region of most evidence in a heat map")
NO_UNITS = Code("1", "UCUM", "no units")

ENGLISH = Code("en", "RFC5646", "English")

QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
"""The container of TID 1500 for words about the whole report (row 12)."""

_PATHOLOGIES = {
    "Atelectasis": Code("46621007", "SCT", "Atelectasis"),
    "Cardiomegaly": codes.SCT.Cardiomegaly,
    "Edema": codes.SCT.PulmonaryEdema,
    "Effusion": codes.SCT.PleuralEffusion,
    "Pneumonia": Code("233604007", "SCT", "Pneumonia"),
    "Pneumothorax": codes.SCT.Pneumothorax,
}
"""Labels that mean one SNOMED CT concept; a label that might mean several stays a private code.

PS3.16 has all but pneumonia and atelectasis, which are SNOMED CT's own."""


def pathology(label: str) -> Code:
    """The concept of one of the network's labels."""
    return _PATHOLOGIES.get(label) or Code(label[:16], SCHEME, label.replace("_", " ")[:64])
