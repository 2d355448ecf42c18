"""The command line: one module per command group, a few lines per command."""
