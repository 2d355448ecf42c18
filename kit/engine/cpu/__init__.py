"""What this machine is and can: cores, memory, and the CPU variant that survives a trial."""
