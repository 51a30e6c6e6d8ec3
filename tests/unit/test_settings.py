"""Settings from the environment."""

import pytest

from service.settings import Settings, unknown_variables


def test_a_misspelt_variable_is_named_with_the_nearest_setting():
    """A CXR_ variable that is no setting is reported, with the setting whose name is nearest."""
    assert unknown_variables(["CXR_THREDS", "cxr_voi_lutt", "CXR_ZZZ"]) == [
        "CXR_THREDS is no setting and has no effect; did you mean CXR_THREADS?",
        "CXR_ZZZ is no setting and has no effect",
        "cxr_voi_lutt is no setting and has no effect; did you mean CXR_VOI_LUT?",
    ]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_setting_is_taken_for_misspelt(name):
    """Every setting is known, in capitals as in small letters, as it is read."""
    assert unknown_variables([f"CXR_{name.upper()}", f"cxr_{name}"]) == []


def test_variables_that_are_nobodys_setting_are_passed_over():
    """Variables without the prefix, the tests' own and the service's own are not reported."""
    own = ["CXR_HEARTBEATS", "CXR_STDERR_PIPE"]
    assert unknown_variables(["PATH", "XCXR_THREADS", "CXR_XRAYS", *own]) == []
