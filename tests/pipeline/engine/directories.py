"""Model directories that hold no weights: whole as far as the manifest goes."""

from pathlib import Path

from pipeline.engine.manifest import TOKENIZER, Manifest, write_manifest


def lay_out(directory: Path, name: str = "hollow") -> Manifest:
    """Make a directory that verifies and cannot be run."""
    (directory / "onnx").mkdir(parents=True, exist_ok=True)
    (directory / "onnx" / "model.onnx").write_bytes(b"no weights")
    (directory / TOKENIZER).write_text("{}")
    return write_manifest(
        directory, name=name, kind="llama", base="nothing", prompt_version="prompt/1", context_length=64,
        parts={"onnx": "onnx"}, record={"kept": True},
    )  # fmt: skip
