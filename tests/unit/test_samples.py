"""The drawn radiographs that the page offers."""

import numpy as np
from PIL import Image

from export.demo.samples import FOLDER, samples, write


def test_the_files_are_what_is_drawn(tmp_path):
    """The files in the page's folder hold what export.demo.samples draws, and are small."""
    drawn = samples()
    assert {path.name for path in FOLDER.iterdir()} == set(drawn)
    write(tmp_path)
    for name, pixels in drawn.items():
        for folder in (FOLDER, tmp_path):
            assert np.array_equal(np.asarray(Image.open(folder / name)), pixels)
        assert (FOLDER / name).stat().st_size < 60_000
