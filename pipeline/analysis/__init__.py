"""What is said about a situation: the question, the rules' answer, and a model's answer with its checks."""
