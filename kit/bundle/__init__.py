"""The trust kernel: what checks a bundle, installs it, and goes back; `make/` packs bundles.

Every module of this folder runs on Python 3.9 with the standard library alone and travels at the
front of every bundle; make/ runs on the connected side, and does not.
"""
