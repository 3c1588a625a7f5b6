"""The long-running process and its command line: moves bytes and keeps promises."""
