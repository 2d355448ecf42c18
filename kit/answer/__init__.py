"""From a question to an answer whose every sentence shows its evidence."""
