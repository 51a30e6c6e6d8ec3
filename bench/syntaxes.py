"""Decoded pixels against independent decoders, one row a transfer syntax and bit depth.

    python -m bench.syntaxes

Needs the command-line tools of dcmtk and OpenJPEG. Files are encoded by dcmtk where it can
(JPEG, JPEG-LS, RLE, native syntaxes), by imagecodecs otherwise, and decoded by dcmtk, OpenJPEG's
own tool or, for HTJ2K (which is decoded here by OpenJPEG), by OpenJPH. The second table holds
grey-level mappings against `dcm2pnm`.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from rich.console import Console
from rich.table import Table

from bench.files import ENCODERS, chest, dicom, stored
from service.radiograph.decode import decode
from service.radiograph.preprocess import preprocess

_DCMTK = {
    # transfer syntax: how to encode from native, how to decode to native, lossless
    uid.ImplicitVRLittleEndian: (["dcmconv", "+ti"], ["dcmconv", "+te"], True),
    uid.ExplicitVRLittleEndian: (["dcmconv", "+te"], ["dcmconv", "+te"], True),
    uid.ExplicitVRBigEndian: (["dcmconv", "+tb"], ["dcmconv", "+te"], True),
    uid.DeflatedExplicitVRLittleEndian: (["dcmconv", "+td"], ["dcmconv", "+te"], True),
    uid.RLELossless: (["dcmcrle"], ["dcmdrle"], True),
    uid.JPEGBaseline8Bit: (["dcmcjpeg", "+eb"], ["dcmdjpeg"], False),
    uid.JPEGExtended12Bit: (["dcmcjpeg", "+ee"], ["dcmdjpeg"], False),
    uid.JPEGLossless: (["dcmcjpeg", "+el"], ["dcmdjpeg"], True),
    uid.JPEGLosslessSV1: (["dcmcjpeg", "+e1"], ["dcmdjpeg"], True),
    uid.JPEGLSLossless: (["dcmcjpls", "+el"], ["dcmdjpls"], True),
    uid.JPEGLSNearLossless: (["dcmcjpls", "+en"], ["dcmdjpls"], False),
}
_JPEG_2000 = {
    uid.JPEG2000Lossless: True,
    uid.JPEG2000: False,
    uid.HTJ2KLossless: True,
    uid.HTJ2K: False,
}
_ROWS, _COLUMNS = 512, 433


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def _native(path: Path) -> tuple[np.ndarray, int]:
    """Stored values of an uncompressed file, straight from its bytes."""
    read = pydicom.dcmread(path)
    kind = f"<{'i' if read.PixelRepresentation else 'u'}{read.BitsAllocated // 8}"
    values = np.frombuffer(read.PixelData, kind, read.Rows * read.Columns)
    return values.reshape(read.Rows, read.Columns).astype(np.int64), read.BitsStored


def _ours(file: bytes, signed: bool, bits: int) -> np.ndarray:
    """Our decoded values, taken back to stored ones."""
    pixels = decode(file, voi=False).pixels.astype(np.int64)
    return pixels - 2 ** (bits - 1) if signed else pixels


def _opj_decompress(frame: bytes, values: np.ndarray, bits: int, folder: Path) -> np.ndarray:
    (folder / "frame.j2k").write_bytes(frame)
    _run("opj_decompress", "-i", folder / "frame.j2k", "-o", folder / "frame.rawl")
    kind = values.dtype.newbyteorder("<")
    found = np.fromfile(folder / "frame.rawl", kind, values.size).reshape(values.shape)
    if values.dtype.kind == "i":  # the tool writes the bits alone, without the sign extended
        sign = 1 << (bits - 1)
        found = ((found.astype(np.int64) & (2 * sign - 1)) ^ sign) - sign
    return found


def _row(syntax: str, bits: int, signed: bool, folder: Path) -> tuple[str, ...] | None:
    # Short of black and white: where a lossy codestream overshoots the range, OpenJPH wraps
    # around (65535 becomes 0) and OpenJPEG clips.
    drawn = chest(bits, _ROWS, _COLUMNS) * np.float32(0.9) + np.float32(0.05)
    values = stored(drawn, bits, signed=signed)
    native, packed, back = (folder / name for name in ("native.dcm", "packed.dcm", "back.dcm"))
    native.write_bytes(dicom(values, bits))
    name = uid.UID(syntax).name.split(" (Process 14 [")[0]
    if syntax in _DCMTK:
        encode, unpack, lossless = _DCMTK[syntax]
        only = {uid.JPEGBaseline8Bit: 8, uid.JPEGExtended12Bit: 12}.get(syntax, bits)
        if bits != only or (signed and not lossless):
            return None
        _run(*encode, native, packed)
        _run(*unpack, packed, back)
        theirs, found = _native(back)
        decoder = unpack[0]
    else:
        lossless, found = _JPEG_2000[syntax], bits
        if not lossless and signed:
            return None
        frame = ENCODERS[syntax](values, bits)
        packed.write_bytes(dicom(values, bits, syntax=syntax, frame=frame))
        if syntax in (uid.HTJ2KLossless, uid.HTJ2K):
            theirs = np.asarray(imagecodecs.htj2k_decode(frame)).astype(np.int64)
            decoder = "OpenJPH"
        else:
            theirs = _opj_decompress(frame, values, bits, folder).astype(np.int64)
            decoder = "opj_decompress"
    ours = _ours(packed.read_bytes(), signed, found)
    own = int(np.abs(ours - values).max()) if lossless else None
    return (
        name,
        f"{'signed ' if signed else ''}{bits}",
        decoder,
        str(int(np.abs(ours - theirs).max())),
        "-" if own is None else str(own),
        "0" if lossless else "2",
    )


def syntaxes(console: Console) -> bool:
    """Print the table of transfer syntaxes; whether every bound holds."""
    table = Table("transfer syntax", "bits", "decoder", "max |difference|", "to drawn", "bound")
    fine = True
    with tempfile.TemporaryDirectory() as name:
        for syntax in [*_DCMTK, *_JPEG_2000]:
            for bits in (8, 12, 16):
                for signed in (False, True):
                    row = _row(syntax, bits, signed, Path(name))
                    if row is not None:
                        table.add_row(*row)
                        fine &= int(row[3]) <= int(row[5]) and row[4] in ("-", "0")
    console.print(table)
    return fine


_MAPPINGS: dict[str, dict[str, object]] = {
    "no window": {},
    "window 2048/4096": {"WindowCenter": 2048, "WindowWidth": 4096},
    "window 1500/1800": {"WindowCenter": 1500, "WindowWidth": 1800},
    "window 1500.25/777.5": {"WindowCenter": 1500.25, "WindowWidth": 777.5},
    "window 2000/1": {"WindowCenter": 2000, "WindowWidth": 1},
    "first of two windows": {"WindowCenter": [1800, 100], "WindowWidth": [2000, 50]},
    "sigmoid 1800/1200": {
        "WindowCenter": 1800,
        "WindowWidth": 1200,
        "VOILUTFunction": "SIGMOID",
    },
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "MONOCHROME1, window": {
        "PhotometricInterpretation": "MONOCHROME1",
        "WindowCenter": 1500,
        "WindowWidth": 1800,
    },
    "inverse presentation LUT": {
        "PresentationLUTShape": "INVERSE",
        "WindowCenter": 1500,
        "WindowWidth": 1800,
    },
    "rescale, window": {
        "RescaleSlope": "0.5",
        "RescaleIntercept": "-200",
        "RescaleType": "US",
        "WindowCenter": 600,
        "WindowWidth": 800,
    },
}


def mappings(console: Console) -> bool:
    """Print the table of grey-level mappings against `dcm2pnm`; whether every bound holds."""
    table = Table("mapping", "values", "max |difference| of 255", "bound")
    fine = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, attributes in _MAPPINGS.items():
            for signed in (False, True):
                more = dict(attributes)
                values = stored(chest(5, _ROWS, _COLUMNS), 12, signed=signed)
                if signed and "WindowCenter" in more and "RescaleSlope" not in more:
                    centres = np.atleast_1d(more["WindowCenter"]) - 2048
                    more["WindowCenter"] = [float(centre) for centre in centres]
                (folder / "in.dcm").write_bytes(dicom(values, 12, **more))
                wanted = ["+Wi", "1"] if "WindowCenter" in more else ["+Wn"]
                _run("dcm2pnm", *wanted, "+opw", folder / "in.dcm", folder / "out.pgm")
                theirs = np.asarray(Image.open(folder / "out.pgm")).astype(np.float64)
                theirs = theirs / (65535 if theirs.max() > 255 else 255)
                made = decode((folder / "in.dcm").read_bytes())
                worst = np.abs(made.pixels / made.white - theirs).max() * 255
                kind = "12 bits signed" if signed else "12 bits"
                table.add_row(label, kind, f"{worst:.3f}", "1")
                fine &= bool(worst <= 1)
    console.print(table)
    return fine


def sources(console: Console) -> bool:
    """Print scores' inputs of the radiographs in pydicom-data, one a transfer syntax."""
    import data_store

    table = Table("file", "transfer syntax", "mapping", "digest of the network's input")
    for path in sorted((Path(data_store.__file__).parent / "data").glob("RG1_*.dcm")):
        made = decode(path.read_bytes())
        table.add_row(
            path.name,
            made.source.transfer_syntax,
            made.source.intensity,
            preprocess(made).sha256[:16],
        )
    console.print(table)
    return True


if __name__ == "__main__":
    out = Console(width=120)
    held = [show(out) for show in (syntaxes, mappings, sources)]
    raise SystemExit(0 if all(held) else 1)
