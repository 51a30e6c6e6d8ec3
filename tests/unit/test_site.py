"""A site's file: what it decides, and which files are refused."""

import json

import pytest
from site_files import finding, site_file

from service.errors import SiteRefused
from service.network.bundle import read_manifest
from service.network.site import Isotonic, Platt, open_site


@pytest.fixture(scope="module")
def manifest(demo_bundle):
    return read_manifest(demo_bundle)


@pytest.fixture
def written(manifest, tmp_path):
    """A site file on disk."""
    path = tmp_path / "site.json"
    path.write_text(site_file(manifest).model_dump_json(indent=2))
    return path


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((0.3, 0.2, 0.4), "nnuupp"),
        ((0.3, 0.3, 0.3), "nnnppp"),
        ((0.3, 0.4, 0.2), "nnnppp"),
        ((0.1, 0.4, 0.3), "nuuppp"),
        ((0.5, 0.4, 0.3), "nnnnup"),
    ],
    ids=["classes overlap", "they touch", "a gap", "cut below the band", "cut over it"],
)
def test_decisions(bounds, expected):
    """Positive over the cut and over what negatives reach, negative at or under the cut and under
    what positives reach, else uncertain."""
    site = finding(*bounds)
    probabilities = (0.05, 0.15, 0.25, 0.35, 0.45, 0.6)
    assert "".join(site.decide(each)[0] for each in probabilities) == expected


def test_the_bounds_themselves_are_uncertain():
    """A probability equal to the lowest positive's or the highest negative's is not decided."""
    site = finding(0.3, 0.2, 0.4)
    assert [site.decide(each) for each in (0.2, 0.4)] == ["uncertain", "uncertain"]


def test_platt_is_a_line_on_the_log_odds():
    """sigmoid(slope x log odds + intercept): at 0.5 the intercept's own sigmoid."""
    site = finding(calibration=Platt(slope=2.0, intercept=-1.0))
    assert site.calibrated(0.5) == pytest.approx(0.2689414213699951, abs=1e-15)
    assert site.calibrated(0.75) == pytest.approx(0.7680306833, abs=1e-9)  # odds 9 / e


def test_isotonic_goes_straight_from_knot_to_knot():
    """Between knots of the log odds the probability is linear, outside them constant."""
    knots = Isotonic(log_odds=(-1.0, 1.0), probabilities=(0.2, 0.6))
    site = finding(calibration=knots)
    assert site.calibrated(0.5) == pytest.approx(0.4, abs=1e-12)
    assert site.calibrated(0.0) == pytest.approx(0.2, abs=1e-12)
    assert site.calibrated(1.0) == pytest.approx(0.6, abs=1e-12)


def test_the_stated_prevalence_moves_the_odds():
    """At a prevalence of 10 % instead of 50 % the odds are a ninth (Bayes)."""
    site = finding(prevalence=0.1)
    assert site.calibrated(0.9) == pytest.approx(0.5, abs=1e-12)
    assert site.calibrated(0.5) == pytest.approx(0.1, abs=1e-12)


def test_a_file_that_fits_is_taken(written, manifest):
    """A file as written is read whole, and its digest is what answers name."""
    site = open_site(written, manifest)
    assert site.file == site_file(manifest)
    assert site.reference.sha256 == json.loads(written.read_text())["sha256"]
    assert site.decision("Pneumonia", 0.9).decision == "positive"
    assert site.decision("Effusion", 0.9) is None


def test_a_changed_file_is_refused(written, manifest):
    """A number that was changed by hand makes a file that is refused."""
    record = json.loads(written.read_text())
    record["findings"]["Pneumonia"]["operating_point"]["probability"] = 0.31
    written.write_text(json.dumps(record))
    with pytest.raises(SiteRefused, match="was changed after it was written"):
        open_site(written, manifest)


@pytest.mark.parametrize("change", ["version", "weights"])
def test_another_bundles_file_is_refused(change, written, manifest):
    """A file that was fitted with another version, or other weights, is refused by both names."""
    other = manifest.model_copy(
        update={"version": "0123456789ab"}
        if change == "version"
        else {"weights": manifest.weights.model_copy(update={"sha256": "0"})}
    )
    with pytest.raises(SiteRefused, match=f"was fitted to demo {manifest.version}, and the bundle"):
        open_site(written, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "cannot be read as JSON"),
        ("[]", "has layout None"),
        ('{"format": 2}', "has layout 2; this service reads layout 1"),
    ],
    ids=["absent", "no JSON", "no object", "another layout"],
)
def test_what_is_no_site_file_is_refused(content, message, tmp_path, manifest):
    """A file that is not there, no JSON or of another layout is refused by that reason."""
    path = tmp_path / "site.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SiteRefused, match=message):
        open_site(path, manifest)
