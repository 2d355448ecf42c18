"""What can be done with documents besides asking: summarise, compare, extract."""
