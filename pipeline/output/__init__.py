"""What goes out: the typed records, and their one writer."""
