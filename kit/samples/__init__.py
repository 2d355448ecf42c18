"""Ten documents of an invented university research office: first run, tutorial, tests."""
