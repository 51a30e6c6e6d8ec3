"""The heat map's colours, measured as they leave for the screen."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from service.explain.drawing.colour_map import COLOURS, LIGHTNESS, helix, lab_to_linear

LAB = rgb2lab(COLOURS[None] / 255.0)[0]


def test_lightness_rises_evenly():
    """CIE L* rises from violet to yellow in 255 steps that are equal but for 8-bit rounding."""
    steps = np.diff(LAB[:, 0])
    mean = (LIGHTNESS[1] - LIGHTNESS[0]) / 255
    assert LAB[0, 0] == pytest.approx(LIGHTNESS[0], abs=0.5)
    assert LAB[-1, 0] == pytest.approx(LIGHTNESS[1], abs=0.5)
    assert np.diff(LAB[::4, 0]).min() > 0
    assert np.abs(steps - mean).max() < 0.5


def test_equal_steps_look_equal():
    """Sixteenths of the map are the same CIELAB distance apart, to 8-bit rounding."""
    between = np.linalg.norm(np.diff(LAB[::15], axis=0), axis=1)
    assert between.max() / between.min() < 1.1


def test_no_step_is_an_edge_to_the_eye():
    """By CIEDE2000, too, no sixteenth differs from its neighbour thrice as much as another."""
    between = deltaE_ciede2000(LAB[:-15:15], LAB[15::15])
    assert between.max() / between.min() < 3


def test_every_colour_can_be_shown():
    """The helix stays inside sRGB: nothing is cut off that would flatten it."""
    linear = lab_to_linear(helix(np.linspace(0, 1, 256)))
    assert linear.min() > -0.005
    assert linear.max() < 1.005
