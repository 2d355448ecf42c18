"""Measurements: loads, the servers under them, figures and dated reports with plots."""
