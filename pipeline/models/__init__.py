"""The models that can be run: where they are and what comes with the package."""
