"""What quantizing a model gains and costs here, and what it should take care of."""
