"""Answers and conversations as files that an office works on: Word, Markdown, Excel, CSV."""
