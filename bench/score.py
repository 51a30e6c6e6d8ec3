"""`cxr score` over a large archive: how fast, how much memory, and what kill -9 costs.

Run as `python -m bench.score`. Draws the archive, scores it once unbroken between two runs of the
floor, then again while it is killed and continued, and a smaller one on two workers of Ray of
which one is killed. Exit status 1 where a bound is not kept.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import click
import psutil

from bench.archive_files import Archive, draw_archive
from bench.figures import Figure, Summary, at_least, at_most, none_of, summarise, table
from bench.processes import environment

_FLOOR_FILES = 1500
_RATE = re.compile(r"\(([\d.]+)/s\)")
_MIB = 2**20


@dataclass
class Run:
    """One process of `cxr score`.

    Attributes:
        seconds: From start to end.
        rate: Files a second of its scoring, as it says itself; 0 where it was killed.
        memory: Resident bytes over time, while shards were made.
        status: Exit status.
    """

    seconds: float = 0.0
    rate: float = 0.0
    memory: list[int] = field(default_factory=list)
    peak: int = 0
    status: int = 0


def _score(
    archive: Archive,
    out: Path,
    bundle: Path,
    *options: str,
    on_tick: Callable[[psutil.Process, int], None] = lambda _process, _shards: None,
) -> Run:
    """Run `cxr score` to its end, looking at it twenty times a second."""
    code = "from service.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "score",
        str(archive.folder),
        "--out",
        str(out),
        *options,
    ]
    shards = out.with_name(out.name + ".partial") / "shards"
    run, started = Run(), time.monotonic()
    process = psutil.Popen(
        command, env=environment(CXR_BUNDLE=str(bundle)), stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        time.sleep(0.05)
        with suppress(psutil.Error, OSError):
            done = sum(1 for _ in shards.iterdir()) if shards.is_dir() else 0
            resident = process.memory_info().rss
            run.peak = max(run.peak, resident)
            if done:
                run.memory.append(resident)
            on_tick(process, done)
    run.seconds = time.monotonic() - started
    said = process.stdout.read()
    run.status = process.returncode
    if found := _RATE.search(said):
        run.rate = float(found[1])
    return run


def _floor(archive: Archive, folder: Path, bundle: Path) -> float:
    chosen = random.Random(8).sample(archive.good, min(_FLOOR_FILES, len(archive.good)))
    listed = folder / "floor.txt"
    listed.write_text("".join(f"{path}\n" for path in chosen))
    command = [sys.executable, "-m", "bench.archive_floor", str(listed)]
    done = subprocess.run(
        command,
        env=environment(CXR_BUNDLE=str(bundle)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _unbroken(
    archive: Archive, out: Path, folder: Path, bundle: Path, repeats: int
) -> tuple[Run, list[list[Figure]]]:
    """Floor, run, floor, run, …, floor: each run is held against the floors beside it."""
    floors, runs = [_floor(archive, folder, bundle)], []
    for _ in range(repeats):
        runs.append(_score(archive, out, bundle, "--overwrite"))
        if runs[-1].status:
            raise click.ClickException("an unbroken run failed")
        floors.append(_floor(archive, folder, bundle))
    beside = zip(runs, floors, floors[1:], strict=False)
    return runs[-1], [_figures(archive, run, mean(floors)) for run, *floors in beside]


def _figures(archive: Archive, run: Run, floor: float) -> list[Figure]:
    share = len(archive.good) / archive.count  # refused files cost next to nothing
    quarters = _quarters(run.memory)
    click.echo(f"resident, MiB by quarter: {', '.join(f'{q:.0f}' for q in quarters)}", err=True)
    return [
        Figure("files", archive.count),
        Figure("floor: decoder and runtime", floor, unit="/s"),
        Figure("good files while scoring", run.rate * share, unit="/s"),
        at_least("of the floor, while scoring", run.rate * share / floor, 0.85),
        Figure("of the floor, start and end included", len(archive.good) / run.seconds / floor),
        Figure("memory, second quarter", quarters[1], unit="MiB"),
        Figure("memory, last quarter", quarters[3], unit="MiB"),
        at_most("memory, growth between them", quarters[3] - quarters[1], 32, "MiB"),
        Figure("memory, peak, end included", run.peak / _MIB, unit="MiB"),
    ]


def _quarters(memory: list[int]) -> list[float]:
    """Median resident MiB of each quarter of the time; what is taken once is in the first."""
    size = max(1, len(memory) // 4)
    return [median(memory[n * size : (n + 1) * size]) / _MIB for n in range(4)]


def _killed(archive: Archive, whole: Path, unbroken: Run, kills: int, bundle: Path) -> list[Figure]:
    """Kill the same run at random moments, then let it end."""
    draw = random.Random()
    out = whole.with_name(f"killed{whole.suffix}")
    lock = out.with_name(out.name + ".partial") / "lock"
    done_at: list[int] = []
    for _ in range(kills):
        # Counted from when it begins to list or to score: before that there is nothing to lose.
        limit = draw.uniform(0, archive.count / unbroken.rate / (kills + 1))
        began: list[float] = []

        def kill(
            process: psutil.Process, shards: int, limit: float = limit, began: list[float] = began
        ) -> None:
            if not began and str(lock) in {file.path for file in process.open_files()}:
                began.append(time.monotonic())
            if began and time.monotonic() > began[0] + limit:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done_at.append(shards)

        if _score(archive, out, bundle, on_tick=kill).status != -signal.SIGKILL:
            raise click.ClickException("a run ended before it was killed; take more files")
    last = _score(archive, out, bundle)
    click.echo(f"killed with {', '.join(map(str, done_at))} shards done", err=True)
    return [
        Figure("kills", kills),
        none_of("exit status of the last run", last.status),
        *_compared(archive, whole, out),
    ]


def _on_ray(archive: Archive, folder: Path, form: str, bundle: Path) -> list[Figure]:
    """Two workers, one of them killed halfway, against the local engine."""
    local, out = folder / f"local.{form}", folder / f"ray.{form}"
    plain = _score(archive, local, bundle)
    shards = -(-archive.count // 128)
    killed: list[int] = []

    def kill_one(process: psutil.Process, done: int) -> None:
        if killed or done < shards // 2:
            return
        for child in process.children(recursive=True):
            if child.name().startswith("ray::MapWorker") or "MapWorker" in " ".join(
                child.cmdline()
            ):
                child.send_signal(signal.SIGKILL)
                killed.append(child.pid)
                return

    run = _score(archive, out, bundle, "--engine", "ray", "--workers", "2", on_tick=kill_one)
    return [
        Figure("files", archive.count),
        Figure("workers killed", len(killed)),
        none_of("exit status", run.status + (not killed)),
        Figure("local, start and end included", archive.count / plain.seconds, unit="/s"),
        Figure("Ray, start, kill and end included", archive.count / run.seconds, unit="/s"),
        *_compared(archive, local, out),
    ]


def _compared(archive: Archive, whole: Path, other: Path) -> list[Figure]:
    same = other.is_file() and whole.read_bytes() == other.read_bytes()
    expected = Counter(
        str(path.relative_to(archive.folder)) for path in (*archive.good, *archive.bad)
    )
    found = Counter(_paths(other))
    return [
        none_of("bytes other than unbroken", not same),
        none_of("files without a row", (expected - found).total()),
        none_of("rows too many", (found - expected).total()),
    ]


def _paths(results: Path) -> list[str]:
    if results.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(results, columns=["path"])["path"].to_pylist()
    return [json.loads(line)["path"] for line in results.read_text().splitlines()]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--files", default=20_000, show_default=True, help="0 leaves these out.")
@click.option("--ray-files", default=2_000, show_default=True, help="0 leaves Ray out.")
@click.option("--kills", default=5, show_default=True)
@click.option("--repeats", default=1, show_default=True, help="Of the unbroken run.")
@click.option("--bundle", default="models/demo", show_default=True, type=click.Path(path_type=Path))
@click.option("--form", default="parquet", type=click.Choice(("parquet", "jsonl")))
@click.option("--archive", type=click.Path(path_type=Path), help="Folder to draw into and to keep.")
def main(
    files: int,
    ray_files: int,
    kills: int,
    repeats: int,
    bundle: Path,
    form: str,
    archive: Path | None,
) -> None:
    """Measure `cxr score`."""
    bundle = bundle.resolve()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        summaries: list[Summary] = []

        place = (archive or folder / "archive").resolve()
        if files:
            drawn = draw_archive(place / str(files), files)
            whole = folder / f"whole.{form}"
            unbroken, runs = _unbroken(drawn, whole, folder, bundle, repeats)
            summaries += summarise("unbroken", runs)
            if kills:
                summaries += summarise("killed", [_killed(drawn, whole, unbroken, kills, bundle)])
        if ray_files:
            drawn = draw_archive(place / str(ray_files), ray_files)
            summaries += summarise("ray", [_on_ray(drawn, folder, form, bundle)])
        click.echo(table(summaries))
        if any(one.held is False for one in summaries):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
