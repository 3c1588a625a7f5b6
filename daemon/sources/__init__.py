"""Where reports come from: directories, files and standard input, handed to the ledger piece by piece."""
