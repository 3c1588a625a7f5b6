"""Where records go once the ledger holds them."""
