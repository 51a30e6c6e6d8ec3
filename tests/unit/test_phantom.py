import numpy as np
import pytest

from export.demo.phantom import make_phantom

# Means over the 16 quarters of the sides, of what the demo weights were trained with.
BLOCKS = {
    False: [
        [0.165670, 0.561461, 0.451603, 0.094511],
        [0.275148, 0.479081, 0.325553, 0.238681],
        [0.359124, 0.505559, 0.493868, 0.367486],
        [0.466602, 0.642006, 0.599057, 0.368581],
    ],
    True: [
        [0.091282, 0.452821, 0.550800, 0.133326],
        [0.281772, 0.407631, 0.506789, 0.283659],
        [0.370997, 0.377714, 0.658626, 0.380732],
        [0.366342, 0.580297, 0.656933, 0.458371],
    ],
}


@pytest.mark.parametrize("opacity", [False, True], ids=["normal", "opacity"])
def test_a_seed_draws_what_it_always_drew(opacity):
    """Seed 7 draws exactly the phantoms that it drew when the demo weights were trained."""
    pixels = make_phantom(7, opacity).pixels.astype(float)
    blocks = pixels.reshape(4, 56, 4, 56).mean((1, 3))
    np.testing.assert_allclose(blocks, BLOCKS[opacity], rtol=0, atol=1e-6)


def test_single_pixels_are_what_they_were():
    """Noise included: pixels of row 112 of the normal phantom of seed 7."""
    row = make_phantom(7, False).pixels[112, ::56]
    expected = [0.19134457, 0.17684509, 0.94056994, 0.26676494]
    np.testing.assert_allclose(row, expected, rtol=0, atol=1e-6)


def test_the_same_arguments_draw_the_same_bytes():
    """A phantom depends on its arguments alone."""
    one, two = make_phantom(11, True, 96), make_phantom(11, True, 96)
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert one.opacity.tobytes() == two.opacity.tobytes()


@pytest.mark.parametrize("size", [64, 224, 301])
def test_pixels_fill_the_range(size):
    """Pixels are float32 in [0, 1] and reach both ends, at any size."""
    phantom = make_phantom(1, True, size)
    assert phantom.pixels.shape == phantom.opacity.shape == (size, size)
    assert (phantom.pixels.dtype, phantom.opacity.dtype) == (np.float32, np.bool_)
    assert (phantom.pixels.min(), phantom.pixels.max()) == (0, 1)


def test_an_opacity_is_brighter_than_its_mirror_image():
    """The mask shows where the opacity is: there the phantom is denser than on the other side."""
    phantom = make_phantom(7, True)
    assert phantom.has_opacity
    assert int(phantom.opacity.sum()) == 2168
    inside = phantom.pixels[phantom.opacity].mean()
    assert inside > phantom.pixels[:, ::-1][phantom.opacity].mean() + 0.05


def test_a_normal_phantom_has_no_opacity():
    """Without an opacity the mask is empty."""
    assert not make_phantom(7, False).has_opacity
