"""Options for the bundle and the runtime, shared by several commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

bundle_option = click.option(
    "--bundle", metavar="DIR", help="Model bundle [default: CXR_BUNDLE or models/demo]."
)
_RUNTIME = click.option(
    "--runtime", help="onnxruntime, openvino or torchscript [default: the bundle's]."
)
_PRECISION = click.option(
    "--precision", help="float32, bfloat16, int8 or int8w7 [default: the bundle's]."
)
site_option = click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Site file of cxr calibrate [default: CXR_SITE].",
)


def variant_options(command: Command) -> Command:
    """Add --bundle, --runtime and --precision to a command."""
    return bundle_option(_RUNTIME(_PRECISION(command)))
