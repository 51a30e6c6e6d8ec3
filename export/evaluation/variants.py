"""Which other variants or bundles stand beside the evaluated one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from service.network.runtime import PRECISIONS
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
        found = read_settings(bundle=base.bundle, runtime=runtime, precision=precision)
        return found.model_copy(update={"site": None})
    if asked.startswith("bento:") or Path(asked).is_dir():
        # A site file belongs to the evaluated bundle alone.
        return read_settings(bundle=asked).model_copy(update={"site": None})
    raise click.BadParameter(
        f"{asked} is neither a bundle's folder nor RUNTIME:PRECISION such as openvino:float32",
        param_hint="--compare",
    )


def named_apart(beside: Mapping[str, Settings]) -> dict[str, Settings]:
    """What a report calls each: folders without their path, numbered where two have one name."""
    found: dict[str, Settings] = {}
    for asked, settings in beside.items():
        plain = Path(asked).resolve().name if Path(asked).is_dir() else asked
        alike = sum(name.split(" (")[0] == plain for name in found)
        found[f"{plain} ({alike + 1})" if alike else plain] = settings
    return found
