"""Decoding a file to a radiograph, by its format."""

from __future__ import annotations

import logging

from service.errors import CxrError, NotAnImage, TooLarge, TruncatedImage
from service.radiograph.dicom.dataset import looks_like_dicom
from service.radiograph.dicom.file import decode_dicom
from service.radiograph.limits import Deadline, DecodeLimits
from service.radiograph.memory_budget import Claim
from service.radiograph.radiograph import Radiograph
from service.radiograph.raster import decode_raster
from service.settings import BodyPart

__all__ = ["DecodeLimits", "decode"]

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)

_READ_HERE = "send DICOM, PNG, JPEG, TIFF, WebP or JPEG 2000"

log = logging.getLogger("cxr.decode")


def sniff(data: bytes) -> str | None:
    """Name the format that the first bytes of a file show, or None for none that is read here."""
    if data[128:132] == b"DICM":
        return "DICOM"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for signature, form in _SIGNATURES:
        if data.startswith(signature):
            return form
    return "DICOM" if looks_like_dicom(data) else None


def decode(
    data: bytes,
    *,
    limits: DecodeLimits = DecodeLimits(),  # noqa: B008  frozen
    reduce: bool = False,
    voi: bool = True,
    ages: tuple[float, float] | None = None,
    body_part: BodyPart = "refuse",
    claim: Claim | None = None,
) -> Radiograph:
    """Decode the bytes of an image file.

    The format is told from the bytes alone, never from a name. Nothing that a file refers to
    (a path, a URL, another file) is looked at, and nothing is written to disk.

    Args:
        data: The whole file.
        limits: What the file may ask for; see DecodeLimits for how each is enforced.
        reduce: Allow fewer pixels than the file has where the network needs no more (scaled
            JPEG decoding). Leave it off where the pixels themselves are shown.
        voi: Apply the VOI LUT or window of a DICOM file. Off, stored values are taken over
            their full range, as TorchXRayVision's `read_xray_dcm` does.
        ages: Years between which the weights were trained; a DICOM patient outside them is
            warned about, without the age being said.
        body_part: What becomes of a DICOM file that names another body part than the chest:
            `refuse` or `warn`.
        claim: Told what memory the image takes before that is taken, to wait until there is as
            much; nothing is bounded where left out.

    Returns:
        Grey values with dense tissue bright.

    Raises:
        NotAnImage: No format that is read here.
        TruncatedImage: The file ends early or its data are damaged.
        TooLarge: Over a limit; `detail["limit"]` names it.
        Unprocessable: A readable image that is not to be scored; `code` says why.
        DeadlineExceeded: The claim was not met in time.
    """
    limits.check_bytes(len(data))
    if not data:
        raise NotAnImage(f"The file is empty: {_READ_HERE}.")
    form = sniff(data)
    if form is None:
        raise NotAnImage(f"This is not an image that is read here: {_READ_HERE}.")
    deadline = Deadline(limits.seconds)
    try:
        if form == "DICOM":
            return decode_dicom(
                data,
                limits=limits,
                deadline=deadline,
                voi=voi,
                ages=ages,
                body_part=body_part,
                claim=claim,
            )
        return decode_raster(
            data, form, limits=limits, deadline=deadline, reduce=reduce, claim=claim
        )
    except CxrError:
        raise
    except MemoryError as error:
        log.warning("no memory to decode a %s file", form, exc_info=error)
        raise TooLarge("Decoding the image takes more memory than there is.") from error
    except Exception as error:
        # Pillow, pydicom and the codecs raise nearly every class there is on damaged data, so
        # the edge is drawn here. The message stays out of the log: it may quote the file.
        log.info("damaged %s file", form, exc_info=error)
        raise TruncatedImage("The image is damaged or ends early.", format=form) from error
