"""Asks a model again in another process, in another order: equal questions have to have equal answers."""

import json
import subprocess
import sys
from collections.abc import Sequence

from pipeline.analysis.model import MAX_TOKENS
from pipeline.analysis.prompt import Case, render_prompt, response_schema
from pipeline.engine.errors import EngineError, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.scorecard.model import Target


def ask_again(target: Target, cases: Sequence[Case]) -> list[str]:
    """Give the texts that a fresh process answers with; empty where nothing came.

    Raises:
        Unsupported: if that process could not run the model.
    """
    questions = [[render_prompt(case), Grammar.of(response_schema(case)).schema] for case in cases]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.scorecard.again"],
        input=json.dumps({"target": target.as_json(), "questions": questions}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Unsupported(f"{target.path}: a second process could not run the model: {reason}")
    answers: list[str] = json.loads(done.stdout.splitlines()[-1])
    return answers


def main() -> None:
    """Answer what standard input asks, the last first, and print the texts in the order of the questions."""
    asked = json.load(sys.stdin)
    generator = Target.from_json(asked["target"]).open()
    answers = []
    for prompt, schema in reversed(asked["questions"]):
        try:
            answers.append(generator.generate(prompt, Grammar(schema), MAX_TOKENS))
        except EngineError:
            answers.append("")
    sys.stdout.write(f"\n{json.dumps(answers[::-1])}\n")


if __name__ == "__main__":
    main()
