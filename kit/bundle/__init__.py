"""The trust kernel and what packs for it: models, wheels and pages to a signed bundle and back.

manifest, ed25519, minisign, volumes, verify and what installs run on Python 3.9 with the standard
library alone, and travel at the front of every bundle.
"""
