"""Site files for tests: fitted to nothing, with round numbers."""

from service.network.bundle import Manifest
from service.network.site import (
    Aim,
    Isotonic,
    OperatingPoint,
    Platt,
    Share,
    SiteData,
    SiteFile,
    SiteFinding,
    Uncertain,
)

AS_IT_IS = Platt(slope=1.0, intercept=0.0)
"""The calibration that leaves a probability as it is."""

SHARE = Share(count=9, of=10, value=0.9, low=0.6, high=0.98)


def finding(
    cut: float = 0.3,
    lowest_positive: float = 0.2,
    highest_negative: float = 0.4,
    calibration: Platt | Isotonic = AS_IT_IS,
    prevalence: float = 0.5,
) -> SiteFinding:
    return SiteFinding(
        images=100,
        patients=100,
        positives=50,
        negatives=50,
        prevalence_of_images=0.5,
        prevalence=prevalence,
        operating_point=OperatingPoint(
            probability=cut,
            low=cut / 2,
            high=cut,
            aim=Aim(kind="sensitivity", value=0.9),
            sensitivity=SHARE,
            specificity=SHARE,
        ),
        calibration=calibration,
        uncertain=Uncertain(
            error=0.1, lowest_positive=lowest_positive, highest_negative=highest_negative
        ),
    )


def site_file(manifest: Manifest, label: str = "Pneumonia", **fitted: object) -> SiteFile:
    return SiteFile(
        bundle=manifest.name,
        version=manifest.version,
        weights_sha256=manifest.weights.sha256,
        variant="openvino int8",
        created="2026-01-01T00:00:00+00:00",
        by=None,
        software="0",
        data=SiteData(name="table.csv", sha256="0", judged_sha256="1", patient_column="patient"),
        findings={label: finding(**fitted)},
    ).sealed()
