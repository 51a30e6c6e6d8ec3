"""Which other variants or bundles stand beside the evaluated one."""

from __future__ import annotations

from pathlib import Path

import click

from service.runtime import PRECISIONS
from service.settings import Settings, read_settings


def settings_of(asked: str, base: Settings) -> Settings:
    """Settings of what `--compare` names: RUNTIME:PRECISION of the same bundle, or a bundle.

    Raises:
        click.BadParameter: It is neither.
    """
    runtime, _, precision = asked.partition(":")
    if runtime in PRECISIONS:
        if precision not in PRECISIONS[runtime]:
            raise click.BadParameter(
                f"{asked}: {runtime} is run in {', '.join(PRECISIONS[runtime])}",
                param_hint="--compare",
            )
        return read_settings(bundle=base.bundle, runtime=runtime, precision=precision)
    if asked.startswith("bento:") or Path(asked).is_dir():
        return read_settings(bundle=asked)
    raise click.BadParameter(
        f"{asked} is neither a bundle's folder nor RUNTIME:PRECISION such as openvino:float32",
        param_hint="--compare",
    )


def name_of(asked: str) -> str:
    """What a report calls it: without the path of this machine."""
    return asked if not Path(asked).is_dir() else Path(asked).resolve().name
