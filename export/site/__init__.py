"""Fitting to a site: operating points, calibration and "uncertain" from its own radiographs."""
