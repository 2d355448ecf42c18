"""One file per format, one signature: parse(path) -> ParsedDocument."""
