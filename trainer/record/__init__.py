"""What is written down of a model: how it was made, what it answers, how good it is."""
