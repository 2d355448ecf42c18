"""The connected side of bundles: from models, wheels and pages to a signed folder."""
