"""Decoders of compressed frames, all of them from imagecodecs.

Compressed frames are decoded by imagecodecs: libjpeg-turbo for every kind of JPEG (8 and 12
bits, lossless up to 16), CharLS for JPEG-LS, OpenJPEG for JPEG 2000 and HTJ2K, and its own
RLE. One BSD-licensed package, libraries that are fuzzed in public, and each call gives the
interpreter lock back. pydicom's own choice for 12-bit and lossless JPEG, pylibjpeg-libjpeg, is
under the GPL-3, which this product's licence does not allow it to depend on.
"""

from __future__ import annotations

import os

import numpy as np

from service.errors import TruncatedImage
from service.radiograph.codestream import Codestream
from service.radiograph.dicom.pixel_module import PixelModule

_THREADS = min(4, os.cpu_count() or 1)
"""Threads of one JPEG 2000 decoding, by far the slowest of all syntaxes."""


def decode_rle(frame: bytes, module: PixelModule) -> np.ndarray:
    """Decode RLE (PS3.5 annex G): byte planes from the most significant on, each PackBits."""
    from imagecodecs import packbits_decode

    width = module.allocated // 8
    planes = module.samples * width
    header = np.frombuffer(frame, "<u4", 16).astype(np.int64) if len(frame) >= 64 else [0]
    if header[0] != planes:
        raise TruncatedImage("The RLE header is damaged.")
    starts = [*header[1 : planes + 1], len(frame)]
    size = module.rows * module.columns
    values = np.empty((size, module.samples, width), np.uint8)
    for plane in range(planes):
        start, end = int(starts[plane]), int(starts[plane + 1])
        if not 64 <= start <= end <= len(frame):
            raise TruncatedImage("The RLE header is damaged.")
        # A last run may reach past the plane; beyond that the decoder refuses.
        done = packbits_decode(frame[start:end], out=bytearray(size + 256))
        if len(done) < size:
            raise TruncatedImage("The RLE data end early.")
        sample, byte = divmod(plane, width)
        values[:, sample, width - 1 - byte] = np.frombuffer(done, np.uint8, size)
    shape = (module.rows, module.columns, module.samples)
    merged = values.view(module.dtype.newbyteorder("<")).reshape(shape)
    return merged[..., 0] if module.samples == 1 else merged


def decode_jpeg(frame: bytes, stream: Codestream) -> np.ndarray:
    from imagecodecs import jpeg8_decode

    if stream.components == 3:
        # The same space in and out: components come as they are stored.
        return np.asarray(jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB"))
    return np.asarray(jpeg8_decode(frame))


def decode_jpeg_ls(frame: bytes, stream: Codestream) -> np.ndarray:
    from imagecodecs import jpegls_decode

    values = np.asarray(jpegls_decode(frame))
    if stream.components == 3 and values.shape[0] == 3 and values.shape[-1] != 3:
        values = values.transpose(1, 2, 0)
    return values


def decode_jpeg2000(frame: bytes, stream: Codestream) -> np.ndarray:
    from imagecodecs import jpeg2k_decode

    return np.asarray(jpeg2k_decode(frame, numthreads=_THREADS))
