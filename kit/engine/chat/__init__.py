"""Conversations turned into prompts, and what the model writes turned into answers."""
