"""Where the model that ships with the package is."""

from pathlib import Path

EMBEDDED_MODEL = Path(__file__).parent / "embedded_model"
