"""How passages are found: terms, vectors, and what makes and orders them."""
