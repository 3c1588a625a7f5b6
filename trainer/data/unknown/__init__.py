"""What a model learns about findings that no class knows: made-up findings, what is right of them, and the answers."""
