"""The kit: open-weight language models over your own documents, offline."""

__version__ = "0.1.0"
