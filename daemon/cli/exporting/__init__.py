"""Where `export`, `report` and `analyze` take scans from, and the forms that they give them."""
