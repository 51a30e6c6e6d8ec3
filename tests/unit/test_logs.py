"""The log over real processes: a supervisor that starts one worker, both tiny."""

import json
import logging
import subprocess
import sys
from importlib import import_module
from pkgutil import walk_packages

import numpy as np
import pytest
from pydicom.uid import RLELossless

import export
import service
from bench.files import ENCODERS, chest, dicom, stored
from service.radiograph.preprocess import pixel_digest

SUPERVISOR = """
import os, subprocess, sys
from service.logs import log_as_supervisor
log_as_supervisor()
log_as_supervisor()  # as each of two services does
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
worker.wait()
with open(os.environ["CXR_STDERR_PIPE"], "w") as pipe:
    pipe.write("the worker has ended\\n")
print(worker.returncode, flush=True)
sys.stdin.readline()
"""

WORKER = """
import ctypes, faulthandler, logging, os, sys, threading, warnings
from service.logs import log_as_worker
log_as_worker()
{}
"""


@pytest.fixture
def run():
    """Run a worker under a supervisor: answers its exit status and the lines on standard error."""
    running = []

    def run_worker(code: str) -> tuple[int, list[dict]]:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, WORKER.format(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(supervisor)
        status = int(supervisor.stdout.readline())
        lines = []
        for line in map(json.loads, iter(supervisor.stderr.readline, "")):
            if line["message"] == "the worker has ended":
                break
            lines.append(line)
        _, rest = supervisor.communicate("\n")
        assert rest == ""
        return status, lines

    yield run_worker
    for process in running:
        process.kill()
        process.communicate()


def test_what_a_c_library_prints_is_logged(run):
    """A line that is written to the file descriptor itself becomes a line of JSON, once."""
    status, (line,) = run("os.write(2, b'ZIPDecode: incorrect data check.\\n')")
    assert status == 0
    assert (line["level"], line["logger"]) == ("WARNING", "cxr.stderr")
    assert line["message"] == "ZIPDecode: incorrect data check."


def test_a_logger_is_not_wrapped(run):
    """What a worker logs stays one object of its own, with its own logger and fields."""
    _, (line,) = run("logging.getLogger('cxr.x').info('told', extra={'images': 3})")
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "cxr.x", "told")
    assert line["images"] == 3


def test_a_crash_is_not_lost(run):
    """What a worker prints while it dies of a signal is in the log, line by line."""
    code = "faulthandler.enable(); os.write(2, b'before\\n'); ctypes.string_at(0)"
    status, lines = run(code)
    assert status < 0
    said = [line["message"] for line in lines]
    assert said[:2] == ["before", "Fatal Python error: Segmentation fault"]
    assert any("string_at" in each for each in said)


def test_a_warning_is_logged_by_its_place(run):
    """A warning is one line that says where it arose, without the text, which may quote a file."""
    _, (line,) = run("warnings.warn('DOE^JANE')")
    assert (line["level"], line["logger"]) == ("WARNING", "cxr.warnings")
    assert (line["message"], line["place"]) == ("UserWarning", "<string>:5")


def test_an_exception_in_a_thread_is_logged_without_its_message(run):
    """A thread that ends by an exception is one line with the traceback; the message stays out."""
    code = """
def work(name):
    raise ValueError(name)
threading.Thread(target=work, args=("DOE^JANE",), name="decode").start()
"""
    _, (line,) = run(code)
    assert (line["level"], line["logger"]) == ("CRITICAL", "cxr.uncaught")
    assert line["traceback"].endswith("in work\nValueError\n")
    assert "DOE" not in json.dumps(line)


def test_what_ends_a_worker_is_logged_with_its_message(run):
    """An exception that ends the program says what went wrong: nothing was read from a file yet."""
    status, (line,) = run("raise OSError(98, 'Address already in use')")
    assert status == 1
    assert line["message"] == "OSError: [Errno 98] Address already in use"
    assert line["traceback"].endswith("in <module>\nOSError\n")


def test_causes_are_logged_too(run):
    """A traceback begins with the cause; only errors of our own keep their message."""
    code = """
from service.errors import InferenceFailed
try:
    try:
        int("DOE^JANE")
    except ValueError as error:
        raise InferenceFailed("The network failed.") from error
except InferenceFailed:
    logging.getLogger("cxr.x").exception("failed")
"""
    _, (line,) = run(code)
    first, second = line["traceback"].split("\n\n")
    assert first.splitlines()[-1] == "ValueError"
    assert second.splitlines()[-1] == "service.errors.InferenceFailed: The network failed."
    assert "DOE" not in json.dumps(line)


def test_a_failed_run_of_the_network_is_logged_with_its_cause(run):
    """A run that fails is one line an image, with the runtime's message, the traceback and the
    digest that the caller is told too."""
    code = """
import asyncio, numpy as np
from service.serving.batching import MicroBatcher
from service.errors import InferenceFailed
def network(pixels):
    if (pixels > 0.5).any():
        raise RuntimeError("no kernel for this convolution")
    logits = np.zeros((len(pixels), 18))
    return type("Outputs", (), {"logits": logits, "cams": pixels, "features": pixels})
async def score(value):
    try:
        await batcher.submit(np.full((1, 224, 224), value, np.float32), 1e9)
    except InferenceFailed as fault:
        print(fault.detail["sha256_pixels"], file=sys.stderr)
async def work():
    global batcher
    batcher = MicroBatcher(network, sizes=(1, 4))
    await asyncio.gather(*map(score, (0.125, 0.875, 0.25)))
asyncio.run(work())
"""
    _, lines = run(code)
    (failure,) = (line for line in lines if line["logger"] == "cxr.batching")
    (told,) = (line["message"] for line in lines if line["logger"] == "cxr.stderr")
    assert failure["level"] == "ERROR"
    assert failure["message"] == "the network failed: no kernel for this convolution"
    assert failure["traceback"].endswith("in network\nRuntimeError\n")
    assert failure["sha256_pixels"] == told
    assert told == pixel_digest(np.full((1, 224, 224), 0.875, np.float32))
    assert "0.875" not in json.dumps(failure)


@pytest.fixture(scope="session")
def damaged(tmp_path_factory):
    """A DICOM file whose pixel data begin with a word where the tag of an item belongs."""
    values = stored(chest(1, 64, 64), 8)
    data = dicom(values, 8, syntax=RLELossless, frame=ENCODERS[RLELossless](values, 8))
    item = b"\xfe\xff\x00\xe0"
    assert data.count(item) == 2
    file = tmp_path_factory.mktemp("damaged") / "DOE^JANE.dcm"
    file.write_bytes(data[: data.rindex(item)] + b"DOE^" + data[data.rindex(item) + 4 :])
    return file


def test_a_damaged_file_is_logged_without_what_it_holds(run, damaged):
    """A decoder that fails is one line with the format and the traceback, and nothing of the file:
    neither its name nor a tag nor the bytes that the decoder's own message quotes."""
    code = f"""
from service.radiograph.decode import decode
from service.errors import TruncatedImage
try:
    decode(open({str(damaged)!r}, "rb").read())
except TruncatedImage as error:
    assert "(4F44,5E45)" in str(error.__cause__), error.__cause__
"""
    status, (line,) = run(code)
    assert status == 0
    assert (line["level"], line["logger"]) == ("INFO", "cxr.decode")
    assert line["message"] == "damaged DICOM file"
    assert line["traceback"].endswith("ValueError\n")
    logged = json.dumps(line)
    assert not [word for word in ("DOE", "4F44", "Phantom") if word in logged]


def test_loggers_have_one_naming_scheme():
    """Every logger of ours is a child of "cxr", so that one setting reaches them all."""
    for package in (service, export):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    named = [name.split(".")[0] for name in logging.root.manager.loggerDict]
    assert "cxr" in named
    assert not {"service", "export"} & set(named)
