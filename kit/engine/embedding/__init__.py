"""Models that turn texts into vectors, served like those that write."""
