"""Logs of numbers of drawn images, as the service writes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from service.serving.monitoring_log import _schema

ROWS = 1200


def log(folder, seed=0, rows=ROWS, older=0, dark=0.0, version="0123456789ab", **columns):
    """Write a log of drawn rows into a folder, as the service does."""
    draw = np.random.default_rng(seed)
    p = np.where(draw.random(rows) < 0.2, draw.beta(6, 2, rows), draw.beta(1, 8, rows))
    p = np.where(draw.random(rows) < dark, draw.beta(2, 2, rows), p)
    ages = draw.choice([20, 40, 60], rows) + older
    values = {
        "time": np.full(rows, 1_770_000_000),
        "model_version": np.full(rows, version),
        "site_sha256": np.full(rows, "f" * 64),
        "input_verdict": np.full(rows, "usual"),
        "input_distance": np.exp(draw.normal(0, 0.2, rows)),
        "modality": np.full(rows, "DX"),
        "manufacturer": draw.choice(["siemens", "ge"], rows, p=[0.7, 0.3]),
        "photometric_interpretation": np.full(rows, "MONOCHROME2"),
        "view": draw.choice(["PA", "AP"], rows),
        "sex": draw.choice(["F", "M"], rows),
        "age_decade": ages,
        "bits": np.full(rows, 12),
        "width": draw.choice([2000, 2500], rows),
        "height": np.full(rows, 2500),
        "Pneumonia_probability": p,
        "Pneumonia_score": p,
        "Pneumonia_positive": p > 0.5,
        "Pneumonia_calibrated_probability": p,
        "Pneumonia_decision": np.select([p > 0.6, p < 0.3], ["positive", "negative"], "uncertain"),
    } | columns
    schema = _schema(["Pneumonia"])
    arrays = [
        pa.array(np.asarray(values[field.name], object).tolist(), field.type) for field in schema
    ]
    day = folder / "day=2026-02-02"
    day.mkdir(parents=True)
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), day / "part.parquet")
    return folder
