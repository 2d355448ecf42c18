"""Where files can be had: the hub, a mirror, a folder, a Python package index.

Knows no model cards and no store: a source lists files and gives their bytes, and says what it
knows of their digests. Whether the bytes are right is decided by whoever asked for them.
"""
