"""The body part that a DICOM file names: the chest, another one, or one that is not known here.

Terms are those of Body Part Examined (0018,0015) and codes those of Anatomic Region Sequence
(0008,2218) that PS3.16 Annex L, Table L-1, puts beside each other for the common anatomic regions
(CID 4031). Files keep to them loosely: "CHEST PA", "AP PORTABLE CHEST", "Knee, left", terms of the
hospital's own in its own language. So words are compared, a word of the chest decides, and a term
in neither list is accepted with a warning.
"""

from __future__ import annotations

import re
import unicodedata

import pydicom

from service.errors import Unprocessable
from service.radiograph.dicom.dataset import text
from service.settings import BodyPart

CHEST = {
    "CHEST": "816094009",
    "CHESTABDOMEN": "416550000",
    "CHESTABDPELVIS": "416775004",
    "NECKCHEST": "417437006",
    "NECKCHESTABDOMEN": "416152001",
    "NECKCHESTABDPELV": "416319003",
    "BRONCHUS": "955009",
    "HEART": "80891009",
    "LUNG": "39607008",
    "MEDIASTINUM": "72410000",
    "RIB": "113197003",
}
"""Regions that a chest radiograph is taken of, each with its SNOMED CT code. A radiograph of the
ribs shows the chest too, exposed for bone."""

CHEST_CODES = frozenset({*CHEST.values(), "51185008", "86598002"})
"""Those, the code that "CHEST" had before 2019 (SNOMED RT T-D3000), and the apex of the lung."""

CHEST_WORDS = ("CHEST", "THORAX", "TORAX", "TORACE", "LUNG", "RIBS", "CXR")
"""What names the chest in a longer term or another language, wherever it stands in it."""

OTHER = {
    "ABDOMEN": "818981001",
    "ABDOMENPELVIS": "818982008",
    "ACJOINT": "85856004",
    "ANKLE": "70258002",
    "BILEDUCT": "28273000",
    "BLADDER": "89837001",
    "BREAST": "76752008",
    "CALCANEUS": "80144004",
    "CSPINE": "122494005",
    "CTSPINE": "1217257000",
    "CLAVICLE": "51299004",
    "COCCYX": "64688005",
    "COLON": "71854001",
    "DUODENUM": "38848004",
    "ELBOW": "16953009",
    "ESOPHAGUS": "32849002",
    "EXTREMITY": "66019005",
    "EYE": "81745001",
    "FEMUR": "71341001",
    "FIBULA": "87342007",
    "FINGER": "7569003",
    "FOOT": "56459004",
    "FOREARM": "14975008",
    "GALLBLADDER": "28231008",
    "HAND": "85562004",
    "HEAD": "69536005",
    "HEADNECK": "774007",
    "HIP": "24136001",
    "HUMERUS": "85050009",
    "ILEUM": "34516001",
    "ILIUM": "22356005",
    "IAC": "361078006",
    "JAW": "661005",
    "JEJUNUM": "21306003",
    "KNEE": "72696002",
    "LARGEINTESTINE": "14742008",
    "LARYNX": "4596009",
    "LEG": "30021000",
    "LSPINE": "122496007",
    "LSSPINE": "1217253001",
    "MASTOID": "59066005",
    "MAXILLA": "70925003",
    "NECK": "45048000",
    "OPTICCANAL": "55024004",
    "ORBIT": "363654007",
    "PAROTID": "45289007",
    "PATELLA": "64234005",
    "PELVIS": "816092008",
    "PROSTATE": "41216001",
    "RECTUM": "34402009",
    "SIJOINT": "39723000",
    "SSPINE": "54735007",
    "SCAPULA": "79601000",
    "SELLA": "42575006",
    "SESAMOID": "58742003",
    "SHOULDER": "16982005",
    "SKULL": "89546000",
    "SMALLINTESTINE": "30315005",
    "SPINE": "421060004",
    "SCJOINT": "7844006",
    "STERNUM": "56873002",
    "STOMACH": "69695003",
    "SUBMANDIBULAR": "54019009",
    "TMJ": "53620006",
    "THIGH": "68367000",
    "TSPINE": "122495006",
    "TLSPINE": "1217256009",
    "THUMB": "76505004",
    "TOE": "29707007",
    "TRACHEA": "44567001",
    "ARM": "40983000",
    "UPRURINARYTRACT": "431491007",
    "URETER": "87953007",
    "URETHRA": "13648007",
    "WRIST": "74670003",
    "ZYGOMA": "13881006",
}
"""Regions of which no chest radiograph is taken, each with its SNOMED CT code. The entire body is
not among them: of a newborn it is one image with the chest in it."""

_OF_CODES = {code: term for term, code in OTHER.items()}


def check_body_part(dataset: pydicom.Dataset, policy: BodyPart) -> tuple[str, ...]:
    """Refuse or warn of a file that names another body part than the chest.

    Args:
        dataset: The file's.
        policy: `refuse` or `warn`.

    Returns:
        Warnings: of another body part where that is the policy, of one that is not known, and of
        attributes that disagree; empty where the file names the chest or nothing.

    Raises:
        Unprocessable: With the code `not_a_chest_radiograph`; `detail` has the part, as Table L-1
            has it and never as the file does.
    """
    named = [part for part in _named(dataset) if part is not None]
    others = [part for part in named if part not in ("", "CHEST")]
    if not named or set(named) == {"CHEST"}:
        return ()
    if not others or "CHEST" in named:
        return ("The file names a body part that may not be the chest.",)
    if policy == "warn":
        return ("The file says that the body part is not the chest.",)
    raise Unprocessable(
        f"The file says that the body part is {others[0]}, not the chest. It was not scored.",
        code="not_a_chest_radiograph",
        body_part=others[0],
    )


def _named(dataset: pydicom.Dataset) -> list[str | None]:
    """What each attribute names: "CHEST", a term of `OTHER`, "" for anything else, or None."""
    regions = dataset.get("AnatomicRegionSequence") or ()
    return [_of_term(text(dataset, "BodyPartExamined")), *map(_of_region, regions)]


def _of_term(term: str) -> str | None:
    plain = unicodedata.normalize("NFKD", term.upper())
    words = re.findall("[A-Z]+", "".join(c for c in plain if not unicodedata.combining(c)))
    if not words:
        return None
    run_together = "".join(words)
    if any(word in run_together for word in CHEST_WORDS) or not CHEST.keys().isdisjoint(words):
        return "CHEST"
    return next((word for word in (run_together, *words) if word in OTHER), "")


def _of_region(region: pydicom.Dataset) -> str | None:
    code = text(region, "CodeValue")
    if code in CHEST_CODES:
        return "CHEST"
    return _OF_CODES.get(code) or _of_term(text(region, "CodeMeaning"))
