"""The finding that --target names."""

import pytest

from service.commands.finding import finding_named
from service.errors import UnknownTarget

LABELS = ("", "Pleural_Thickening", "Pneumonia", "Lung Opacity", "")


@pytest.mark.parametrize(
    ("written", "finding"),
    [
        ("Pneumonia", "Pneumonia"),
        ("pneumonia", "Pneumonia"),
        ("pleural thickening", "Pleural_Thickening"),
        ("LUNG_OPACITY", "Lung Opacity"),
    ],
)
def test_case_and_underscores_do_not_matter(written, finding):
    """A finding is known in any case, its words joined by spaces or underscores."""
    assert finding_named(written, LABELS) == finding


@pytest.mark.parametrize("written", ["Hernia", "", " "])
def test_an_unknown_finding_is_refused_with_those_that_are_known(written):
    """What is no finding is refused; the message lists the findings."""
    with pytest.raises(UnknownTarget) as refused:
        finding_named(written, LABELS)
    assert "they predict Pleural_Thickening, Pneumonia, Lung Opacity." in refused.value.message


def test_a_finding_that_is_written_exactly_goes_before_one_in_another_case():
    """Where two findings differ in case alone, each is known by its own spelling only."""
    assert finding_named("mass", ("Mass", "mass")) == "mass"
    with pytest.raises(UnknownTarget):
        finding_named("MASS", ("Mass", "mass"))
