"""Numbered SQL scripts that bring any older database to this version, in order."""
