"""The `cxr` command: every command module is light, what it needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points

import click

from service.commands.bench import bench
from service.commands.gradcam import gradcam
from service.commands.inspect import inspect
from service.commands.node import node
from service.commands.predict import predict
from service.commands.score import score
from service.commands.serve import serve
from service.errors import CxrError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-pneumonia", prog_name="cxr")
def cxr() -> None:
    """Pneumonia and other findings on frontal chest radiographs.

    \b
      cxr export --weights demo       make the bundle of the embedded demo model
      cxr predict IMAGE               score one radiograph
      cxr score FOLDER --out R.csv    score an archive, one row a file
      cxr gradcam IMAGE               draw where the score came from
      cxr inspect FILE                say what the service sees in a file
      cxr serve                       start the HTTP service on 127.0.0.1:3000
      cxr node                        receive from a PACS, and send results back into the study
      cxr reference DIR --out R.npz   fit what usual radiographs are, on your own
      cxr evaluate DATA               say how good the answers are on labelled radiographs
      cxr calibrate DATA              fit cuts and probabilities to a site's radiographs
      cxr watch                       say what has changed in the images that come
      cxr card                        write the model card
      cxr bench runtimes              time every way to run the model on this machine

    `cxr COMMAND --help` has examples of each.

    Exit status: 0 done, 1 failed with the reason on standard error, 2 wrong usage.

    Research software, not for clinical use.
    """
    if any(name.upper().startswith("CXR_") for name in os.environ):
        from service.settings import unknown_variables

        for sentence in unknown_variables(os.environ):
            click.echo(f"cxr: {sentence}", err=True)


cxr.add_command(predict)
cxr.add_command(score)
cxr.add_command(gradcam)
cxr.add_command(inspect)
cxr.add_command(serve)
cxr.add_command(node)
cxr.add_command(bench)
for _point in entry_points(group="cxr.commands"):
    cxr.add_command(_point.load())


def main() -> None:
    """Run the command; an error of ours is one line on standard error and exit status 1."""
    try:
        cxr()
    except CxrError as error:
        click.echo(f"cxr: {error.message}", err=True)
        sys.exit(1)
