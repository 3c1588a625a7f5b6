"""How a model is made; a room for each library that computes."""
