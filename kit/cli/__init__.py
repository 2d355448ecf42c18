"""The command line: one module per command group, translating and deciding nothing."""
