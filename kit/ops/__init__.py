"""Running the kit: processes, checks of the machine."""
