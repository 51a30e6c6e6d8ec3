"""Decompression bombs: each refused or bounded, with the peak memory that it cost.

    python -m bench.bombs

Each runs in a process of its own, whose peak resident memory is read after the decoders have been
loaded and again after the bomb. Deflate gives at most 1032 to 1, so a PNG of 10 KB can only claim
its 10 GB; the one of 10 MB really holds them.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.files import chest, deflated, dicom, raster, stored


def _png(side: int, body: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def _zeros(count: int) -> bytes:
    squeeze = zlib.compressobj(9)
    block = bytes(2**20)
    parts = [squeeze.compress(block) for _ in range(count // 2**20)]
    return b"".join([*parts, squeeze.flush()])


def _deflated_dicom() -> bytes:
    file = deflated(dicom(stored(chest(1, 64, 64), 12), 12), 2**31)
    old = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    new = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"
    length = int.from_bytes(file[140:144], "little") + 2
    return (file[:140] + length.to_bytes(4, "little") + file[144:]).replace(old, new)


def _scans() -> bytes:
    data = raster(stored(chest(1, 500, 500), 8), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    return data[:scan] + data[scan:-2] * 500 + data[-2:]


def _text() -> bytes:
    plain = _png(64, zlib.compress((b"\0" + bytes(64)) * 64))
    body = b"comment\0\0" + zlib.compress(bytes(2**30), 9)
    text = struct.pack(">I", len(body)) + b"zTXt" + body
    return plain[:33] + text + struct.pack(">I", zlib.crc32(b"zTXt" + body)) + plain[33:]


BOMBS = {
    "PNG of 10 KB that claims 10 GB": lambda: _png(100_000, _zeros(10 * 2**20)),
    "PNG of 10 MB that holds 10 GB": lambda: _png(100_000, _zeros(10 * 2**30)),
    "PNG of 64 x 64 with 10 GB behind": lambda: _png(64, _zeros(10 * 2**30)),
    "PNG with 1 GB of compressed text": _text,
    "deflated DICOM of 2 GB": _deflated_dicom,
    "JPEG of 510 scans": _scans,
}


def _one(name: str) -> None:
    """Run one bomb in this process and print what came of it."""
    from service.errors import CxrError
    from service.radiograph.decode import decode

    data = sys.stdin.buffer.read()
    decode(raster(stored(chest(1, 64, 64), 8), "PNG"))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _peak()
    try:
        decode(data)
        outcome = "its own pixels decoded"
    except CxrError as error:
        outcome = f"{error.status} {error.code}"
    sys.stdout.write(f"{outcome}\t{before:.1f}\t{_peak():.1f}")


def _peak() -> float:
    """Peak resident memory in MiB since it was last forgotten (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Print the table."""
    table = Table("file", "bytes", "outcome", "peak before, MiB", "peak after, MiB")
    for name, make in BOMBS.items():
        data = make()
        done = subprocess.run(
            [sys.executable, "-m", "bench.bombs", name], input=data, capture_output=True, check=True
        )
        table.add_row(name, f"{len(data):,}", *done.stdout.decode().split("\t"))
    Console(width=110).print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _one(sys.argv[1])
    else:
        main()
