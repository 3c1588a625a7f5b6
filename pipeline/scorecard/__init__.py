"""How good analyses are, on cases whose right answers are known. No model's libraries are imported here."""
