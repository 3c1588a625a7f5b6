"""Makes up hosts, and the findings that the scanner would report about them, in its own words."""
