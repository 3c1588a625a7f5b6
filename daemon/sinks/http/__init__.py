"""A sink that posts records to a web address."""
