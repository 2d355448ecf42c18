"""The proof of the gap: a whole journey without a network, every attempt to leave counted."""
