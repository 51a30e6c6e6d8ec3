"""What can go wrong before a bundle exists; branches of `service.errors.SetupFault`.

SetupFault
├── WeightsRefused      a checkpoint is unknown, damaged, not what it says, or not trusted
├── DownloadFailed      weights could not be fetched; the message says what to do instead
├── CalibrationRefused  a folder to calibrate on holds nothing that can be read
├── DatasetRefused      labelled radiographs are not labelled in a way that can be read
├── EvaluationFailed    there is nothing to evaluate: no image was scored
├── FitRefused          a site's radiographs are too few, or not fit to fit anything on
├── LogRefused          a log of numbers is none, or has too few rows
├── CardRefused         an evaluation is none, or is not of the model that a card is for
└── ParityFailed        a graph does not answer as the library's network does

None of them ever reaches an HTTP answer: their messages may name files and span lines.
"""

from __future__ import annotations

from service.errors import SetupFault


class WeightsRefused(SetupFault):
    code = "weights_refused"


class DownloadFailed(SetupFault):
    code = "download_failed"


class CalibrationRefused(SetupFault):
    code = "calibration_refused"


class ParityFailed(SetupFault):
    code = "parity_failed"


class DatasetRefused(SetupFault):
    code = "dataset_refused"


class EvaluationFailed(SetupFault):
    code = "evaluation_failed"


class FitRefused(SetupFault):
    code = "fit_refused"


class LogRefused(SetupFault):
    code = "log_refused"


class CardRefused(SetupFault):
    code = "card_refused"
