"""OpenVINO's core leaves the signal handling of this process alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import ctypes, signal, sys
from pathlib import Path
from service.network.bundle import open_bundle
from service.network.runtime import open_runtime

class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

def stack_of_handlers():
    found = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.flags, found.sp

handled = []
signal.signal(signal.SIGTERM, lambda *_: handled.append("SIGTERM"))
before = stack_of_handlers()
bundle = open_bundle(Path(sys.argv[1]))
runtime = open_runtime(bundle, bundle.manifest.variant("openvino", "float32"), 2)
print("in use:", stack_of_handlers() == before)
del runtime
print("let go:", stack_of_handlers() == before)
signal.raise_signal(signal.SIGTERM)
print("handled:", handled)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="where the plugin sets a stack for handlers")
def test_signal_handlers_keep_their_stack(demo_bundle):
    """Loading a runtime in the main thread and letting go of it changes nothing about the stack
    that its signal handlers run on, so a signal afterwards is handled."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, demo_bundle],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "in use: True\nlet go: True\nhandled: ['SIGTERM']\n"
