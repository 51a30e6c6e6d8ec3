"""`cxr export`."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.output import require_writable_folder


@click.command()
@click.option(
    "--weights",
    required=True,
    metavar="W",
    help="demo, an official name such as densenet121-res224-all, or a .pt or .safetensors file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    help="Folder of bundles; this one becomes OUT/NAME.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of radiographs to compare on, beside the phantoms.",
)
@click.option(
    "--sha256", metavar="HEX", help="Digest that the weights' file must have; then it is trusted."
)
@click.option(
    "--trust-pickle",
    is_flag=True,
    help="Let code in a pickled file of unknown digest run. Only for files you made yourself.",
)
@click.option(
    "--like",
    metavar="NAME",
    help="Official weights whose labels and operating points a file shares.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of radiographs to quantise by, beside the phantoms. Folders NORMAL and PNEUMONIA "
    "in it put NNCF's accuracy control in charge.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File that `cxr reference` wrote for these weights; the demo weights have their own.",
)
@click.option(
    "--max-drift",
    type=click.FloatRange(0, 1),
    default=0.03,
    show_default=True,
    help="Largest difference in probability for which a faster variant is published.",
)
@click.option(
    "--register/--no-register",
    default=True,
    show_default=True,
    help="Copy the bundle into BentoML's model store under an exact tag.",
)
def export(
    weights: str,
    out: Path,
    images: Path | None,
    sha256: str | None,
    trust_pickle: bool,
    like: str | None,
    calibration: Path | None,
    reference: Path | None,
    max_drift: float,
    register: bool,
) -> None:
    """Turn a frozen checkpoint into a verified model bundle.

    Every graph is compared with TorchXRayVision's own eager network before anything is
    published. Out of tolerance: the figure is printed, nothing is published, exit status 1.
    Faster variants (OpenVINO, bfloat16, 8 bits) are published where they pass the drift gate,
    and the fastest of all on this machine is what the service will run.

    \b
      cxr export --weights demo
      cxr export --weights densenet121-res224-all
      cxr export --weights mine.safetensors --like densenet121-res224-all --images radiographs

    Exit status: 0 published, 1 not published, with the reason on standard error, 2 wrong usage.
    """
    import time

    require_writable_folder(out)
    try:
        from export.bundle.build import export_bundle
        from export.bundle.publish import register as copy_to_store
        from export.checkpoints.weights import load_weights
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"exporting needs {error.name}, which is not installed: "
            "pip install 'cxr-pneumonia[export]'"
        ) from error

    started = time.monotonic()

    def report(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.1f} s] {line}", err=True)

    loaded = load_weights(
        weights, sha256=sha256, trust_unknown_pickle=trust_pickle, labels_from=like
    )
    done = export_bundle(
        loaded,
        out,
        images,
        report,
        max_drift=max_drift,
        calibration=calibration,
        reference=reference,
    )
    if register:
        report(
            f"registered in BentoML's model store as {copy_to_store(done.folder, done.manifest)}"
        )
    click.echo(f"Published {done.folder}, version {done.manifest.version}, {done.manifest.chosen}")
