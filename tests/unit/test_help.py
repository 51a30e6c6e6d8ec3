"""What each command says of itself."""

import click
import pytest
from click.testing import CliRunner

from service.cli import cxr
from service.explain.cam.class_map import LAYERS
from service.explain.cam.request import METHODS


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every command below a group."""
    paths = []
    for name, command in group.commands.items():
        here = (*path, name)
        paths += [here, *(commands(command, here) if isinstance(command, click.Group) else [])]
    return paths


def help_of(*path: str) -> list[str]:
    """The lines of a command's help, without their indentation."""
    done = CliRunner().invoke(cxr, [*path, "--help"], prog_name="cxr")
    assert done.exit_code == 0
    return [line.strip() for line in done.output.splitlines()]


@pytest.mark.parametrize("path", [(), *commands(cxr)], ids=lambda path: " ".join(path) or "cxr")
def test_no_help_shows_the_mark_that_keeps_lines_apart(path):
    """The mark that keeps examples on lines of their own is click's, not text for the reader."""
    assert r"\b" not in "\n".join(help_of(*path))


EXAMPLES = {
    "": "cxr score FOLDER --out R.csv    score an archive, one row a file",
    "predict": "cxr predict radiograph.dcm",
    "score": "cxr score list.csv 'more/*.png' --out results.csv",
    "gradcam": "cxr gradcam radiograph.dcm --target effusion --out map.dcm",
    "inspect": "cxr inspect radiograph.dcm --no-voi --out input.png",
    "serve": "cxr serve --port 3001 --bundle models/densenet121-res224-all",
    "export": "cxr export --weights demo",
    "evaluate": "cxr evaluate datasets/test --prevalence 0.05",
    "card": "cxr card --weights densenet121-res224-all",
    "bench runtimes": "cxr bench runtimes --rounds 1 --seconds 0.2 --no-ceiling",
}


@pytest.mark.parametrize(
    ("path", "example"), EXAMPLES.items(), ids=[path or "cxr" for path in EXAMPLES]
)
def test_each_help_has_examples_on_lines_of_their_own(path, example):
    """An example can be copied from the help as it stands: it is one line."""
    assert example in help_of(*path.split())


def test_gradcam_says_which_methods_and_layers_there_are():
    """The help of `cxr gradcam` names every method, and the layers from the first to the last."""
    text = " ".join(help_of("gradcam"))
    assert f"{', '.join(METHODS[:-1])} or {METHODS[-1]}" in text
    assert f"{LAYERS[0]} to {LAYERS[-2]}, or {LAYERS[-1]}" in text
