"""Documents: parsed, cut, embedded, stored: ``path -> Document -> [Chunk] -> vectors``."""
