"""Running the kit: its processes, its first run, and the doctor."""
