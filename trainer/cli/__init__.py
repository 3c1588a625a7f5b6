"""The command line of the trainer: `sysscan-train`."""
