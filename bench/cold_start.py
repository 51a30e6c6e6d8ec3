"""Where the time goes between a prediction process's start and its first answer.

    python -m bench.cold_start --bundle models/demo

starts fresh processes and prints the median of each step, and the memory that one holds
afterwards. What a process does is what `cxr predict` and a worker of the service do.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import click

_STEPS = """
import json, sys, time
began = time.perf_counter()
steps, last = {}, began
def step(name):
    global last
    now = time.perf_counter()
    steps[name], last = now - last, now
from pathlib import Path
import numpy as np
import service.network.predictor
from service.network.bundle import open_bundle
from service.network.runtime import load_runtime, prove, unavailable_reason
from service.network.runtime.selection import select
step("imports of the service")
bundle = open_bundle(Path(sys.argv[1]))
step("hashes")
variant = select(bundle.manifest, *sys.argv[2:]).variant
step("import of the runtime")
runtime = load_runtime(bundle.folder, variant)
step("compile")
prove(runtime, bundle, variant)
step("golden pair")
def memory():
    status = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("Vm")}
    return int(sizes["VmRSS"]) / 1024
ready = memory()
runtime.run(np.zeros((8, 1, 224, 224), np.float32))
steps["all of it"] = last - began
print(json.dumps({"steps": steps, "ready": ready, "batch": memory(), "variant": variant.name}))
"""


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("models/demo"))
@click.option("--runs", default=5, show_default=True)
@click.argument("wish", nargs=-1)
def main(bundle: Path, runs: int, wish: tuple[str, ...]) -> None:
    """Start processes and print; WISH is a runtime and a precision."""
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", _STEPS, str(bundle), *wish], capture_output=True, check=True
            ).stdout
        )
        for _ in range(runs)
    ]
    click.echo(f"{found[0]['variant']}, median of {runs} processes")
    for name in found[0]["steps"]:
        taken = statistics.median(one["steps"][name] for one in found)
        click.echo(f"  {name:24}{taken:6.2f} s")
    for name, words in (("ready", "resident when ready"), ("batch", "resident after a batch of 8")):
        click.echo(f"  {words:28}{statistics.median(one[name] for one in found):5.0f} MiB")


if __name__ == "__main__":
    main()
