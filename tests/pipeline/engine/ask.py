"""Asks a model in a process of its own, and tells what it answered and what the process looked like."""

import json
import sys
from pathlib import Path

from pipeline.engine.generator import Grammar
from pipeline.engine.load import open_generator
from tests.pipeline.engine import tiny_model

FOREIGN = (
    "torch",
    "transformers",
    "tokenizers",
    "gptqmodel",
    "onnxruntime_genai",
    "requests",
    "httpx",
    "huggingface_hub",
)


def main() -> None:
    """Ask the cases whose numbers are given, in their order."""
    directory, numbers = Path(sys.argv[1]), [int(number) for number in sys.argv[2:]]
    generator = open_generator(directory)
    cases = tiny_model.cases(50, seed=3)
    answers = {
        number: generator.generate(
            tiny_model.prompt(cases[number]), Grammar.of(tiny_model.schema(cases[number])), max_tokens=300
        )
        for number in numbers
    }
    descriptors = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    print(
        json.dumps(
            {
                "answers": answers,
                "digest": generator.digest,
                "foreign": [name for name in FOREIGN if name in sys.modules],
                "sockets": [target for target in descriptors if target.startswith("socket:")],
            }
        )
    )


if __name__ == "__main__":
    main()
