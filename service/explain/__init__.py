"""Explanations of a score: heat maps, figures and DICOM objects."""
