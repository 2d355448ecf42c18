"""The model line: which models the kit knows, how they arrive, and what is installed."""
