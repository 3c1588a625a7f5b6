"""From bytes that the scanner wrote to typed findings, and to a reason for what cannot be used."""
