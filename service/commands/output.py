"""The file or folder that --out names: checked before any work, written after it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

import click


def require_writable_file(path: Path) -> None:
    """Refuse a file that cannot be written; the check changes and leaves nothing.

    Raises:
        click.ClickException: The message has the path and the system's reason.
    """
    try:
        if path.is_file():
            path.open("ab").close()
        elif not path.exists():  # a device or a pipe is there, and is written without a check
            TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _refusal(path, error) from error


def require_writable_folder(path: Path) -> None:
    """Refuse a folder that can neither be made nor written to; the check leaves nothing.

    Raises:
        click.ClickException: The message has the path and the system's reason.
    """
    try:
        existing = next(each for each in (path, *path.absolute().parents) if each.exists())
        TemporaryFile(dir=existing).close()
    except OSError as error:
        raise _refusal(path, error) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        click.ClickException: The message has the path and the system's reason.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> click.ClickException:
    return click.ClickException(f"{path} cannot be written: {error.strerror}")
