"""Explanations as DICOM objects in the source image's study; needs highdicom."""
