"""What may bound an answer, tried in a child process before the engine follows it."""
