"""What people decided about findings: the verdicts, the log that keeps them, and which of them count."""
