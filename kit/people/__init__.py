"""Who may use the kit: accounts, sessions, and what they did."""
