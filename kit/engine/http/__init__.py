"""What clients send and are answered: JSON and HTTP. Nothing here knows a model."""
