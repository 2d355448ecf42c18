"""What was asked and answered, kept and forgotten."""
