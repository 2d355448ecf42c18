"""A document of two sentences and the question whose answer it holds: to try out a whole kit."""

NAME = "self-test.txt"
TEXT = (
    "The self-test of the kit.\n\n"
    "The spare key of the archive hangs behind the clock in room 214.\n"
    "Lunch is served at noon.\n"
)
QUESTION = "Where does the spare key of the archive hang?"
EVIDENCE = "behind the clock in room 214"
