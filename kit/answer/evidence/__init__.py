"""Which sentences answer, and whether what is said stands in the documents."""
