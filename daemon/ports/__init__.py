"""The seams between the rooms of the daemon, one a file: what each side promises the other."""
