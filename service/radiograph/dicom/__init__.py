"""DICOM files: data set, pixel data, grey scale and suitability."""
