"""Damaged files through the decoder: only documented errors, no crash, no growth, no hang.

    python -m bench.fuzz [COUNT [FIRST_SEED]]

Each file's seed is written to a log before it is decoded, so that a crash names its file.
"""

from __future__ import annotations

import collections
import faulthandler
import gc
import resource
import sys
import time
import warnings
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.mutate import mutants, originals
from service.errors import ClientFault
from service.radiograph.decode import DecodeLimits, decode
from service.radiograph.preprocess import preprocess


def _resident() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main(count: int, first: int) -> int:
    """Print counts, memory and the slowest file; 0 where everything holds."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    limits = DecodeLimits()
    for data in originals().values():  # loads every decoder before memory is read
        preprocess(decode(data, reduce=True))
    for _, _, data in mutants(-2000, 2000):
        _once(data)
    marks = [_resident()]
    found: collections.Counter[str] = collections.Counter()
    slowest, wrong = (0.0, ""), []
    log = Path(f"/tmp/fuzz-{first}.seed")
    with log.open("w") as last:
        for seed, name, data in mutants(first, count):
            last.seek(0)
            last.write(f"{seed} {name}\n")
            last.flush()
            start = time.perf_counter()
            outcome = _once(data)
            took = time.perf_counter() - start
            slowest = max(slowest, (took, f"{seed} {name}"))
            found[outcome] += 1
            if seed - first + 1 in {count // 4, count // 2, 3 * count // 4}:
                marks.append(_resident())
            if outcome.startswith("undocumented"):
                wrong.append(f"{seed} {name}: {outcome}")
    marks.append(_resident())
    before, after = marks[0], marks[-1]
    log.unlink()
    table = Table("outcome", "files")
    for outcome, number in found.most_common():
        table.add_row(outcome, str(number))
    console = Console(width=110)
    console.print(table)
    console.print(f"seeds {first} to {first + count - 1}")
    steps = ", ".join(f"{mark:.1f}" for mark in marks)
    console.print(f"resident {steps} MiB at each quarter: {after / before:.3f}")
    console.print(f"slowest {slowest[0] * 1000:.0f} ms of {limits.seconds:g} s: {slowest[1]}")
    for line in wrong[:20]:
        console.print(line, markup=False)
    return int(bool(wrong) or after > 1.1 * before or slowest[0] > limits.seconds)


def _once(data: bytes) -> str:
    try:
        made = preprocess(decode(data, reduce=True)).pixels
    except ClientFault as error:
        return f"{error.status} {error.code}"
    except Exception as error:
        return f"undocumented {type(error).__name__}: {error}"
    if not (made.min() >= 0 and made.max() <= 1):
        return "undocumented input outside [0, 1]"
    return "decoded"


if __name__ == "__main__":
    numbers = [int(part) for part in sys.argv[1:]]
    raise SystemExit(main(*(numbers + [20_000, 0][len(numbers) :])))
