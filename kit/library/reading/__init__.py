"""Files to text, each in its cage, and what became of each."""
