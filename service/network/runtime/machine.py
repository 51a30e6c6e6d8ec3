"""The processor's name and its instruction sets."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Literal

CPUINFO = Path("/proc/cpuinfo")

Instructions = Literal["avx2", "vnni", "bf16"]
"""Instruction sets that a variant may need, by the names that a manifest uses."""

_FLAGS: dict[Instructions, frozenset[str]] = {
    "avx2": frozenset({"avx2"}),
    "vnni": frozenset({"avx512_vnni", "avx_vnni", "amx_int8"}),
    "bf16": frozenset({"avx512_bf16", "amx_bf16"}),
}

_WORDS: dict[Instructions, str] = {
    "avx2": "AVX2, without which 8-bit products are slower than float32",
    "vnni": "VNNI (avx512_vnni, avx_vnni or amx_int8), without which 8-bit products saturate",
    "bf16": "bfloat16 (avx512_bf16 or amx_bf16), without which it is emulated or ignored",
}


@cache
def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The processor's feature flags as Linux names them; empty where they cannot be read."""
    return frozenset((_field("flags", cpuinfo) or "").split())


@cache
def cpu_name(cpuinfo: Path = CPUINFO) -> str:
    """The processor's model, for people; on arm64 Linux knows the numbers of its maker and part."""
    numbers = (_field(name, cpuinfo) for name in ("CPU implementer", "CPU part"))
    known = " ".join((platform.machine(), *filter(None, numbers)))
    return _field("model name", cpuinfo) or known


def instructions(cpuinfo: Path = CPUINFO) -> tuple[Instructions, ...]:
    """Instruction sets of this processor, of those that a variant may need."""
    return tuple(name for name, flags in _FLAGS.items() if flags & cpu_flags(cpuinfo))


def missing_instructions(needs: Instructions | None, cpuinfo: Path = CPUINFO) -> str | None:
    """Why this processor cannot run what needs an instruction set; None where it can."""
    if needs is None or needs in instructions(cpuinfo):
        return None
    return f"this processor has no {_WORDS[needs]}"


def _field(name: str, cpuinfo: Path) -> str | None:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
