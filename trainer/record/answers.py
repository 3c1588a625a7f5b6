"""Recipe: the answers that a model directory brings along, for the questions that the data set's hosts raise most."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.analysis.case import CaseMaker
from pipeline.analysis.critique import refusal
from pipeline.analysis.model import ModelAnalyst, knows_unknown, trained_classes
from pipeline.analysis.prompt import render_prompt
from pipeline.analysis.question import MAX_ATTEMPTS, Question
from pipeline.analysis.unknown_prompt import render_unknown, unknown_case
from pipeline.engine.errors import EngineError
from pipeline.engine.generator import Generator, Grammar
from pipeline.engine.load import open_generator
from pipeline.engine.manifest import read_manifest, relist
from pipeline.engine.shipped import FILE, answer_key, read_answers, write_answers
from pipeline.errors import ConfigError, ReportError
from pipeline.graph.resources import Resources
from pipeline.intel.match import load_intel
from pipeline.knowledge.schema import Knowledge
from pipeline.rules.policy import Policy
from trainer.data.cases import questions
from trainer.data.dataset import REPORTS, dataset_digest

Progress = Callable[[str, int, int], None]

_OF_DATA = ("data", "most", "questions")  # what the record says of a data set stays true when reports are added


class Recorder:
    """A generator that remembers what it said, and does not say twice what it had said before.

    Attributes:
        answers: what was asked for, by `answer_key`.
    """

    def __init__(self, generator: Generator, known: Mapping[str, str] | None = None) -> None:
        """Take a generator, and answers of the same weights."""
        self._generator = generator
        self._known = known or {}
        self.answers: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """Name everything that the tokens depend on."""
        return self._generator.digest

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer, and remember it."""
        key = answer_key(prompt, grammar)
        text = self._known.get(key)
        if text is None:
            text = self._generator.generate(prompt, grammar, max_tokens)
        self.answers[key] = text
        return text

    def close(self) -> None:
        """Give the memory back."""
        self._generator.close()


def record_answers(
    model: Path,
    data: Path | None,
    knowledge: Knowledge,
    most: int,
    progress: Progress = lambda step, done, total: None,
    reports: Sequence[Path] = (),
) -> int:
    """Ask an exported model what hosts are most likely to raise, and put its answers into its directory.

    Answers of these weights that the directory has are not asked for again. With a data set, those go whose questions
    are no longer among the most frequent; without one, all stay, and those of the reports are added.

    Args:
        model: model directory with an ``onnx`` part.
        data: data set directory; its reports raise the questions, for an operator without wishes of his own.
        most: how many questions of the data set, the most frequent first.
        reports: further reports, all of whose questions are answered.

    Returns:
        How many answers there are.

    Raises:
        ConfigError: if the data set has no reports or is not whole, a report cannot be read, or the model cannot be
            used or answers nothing.
    """
    made: dict[str, Any] = {}
    chosen: list[Question] = []
    if data is not None:
        paths = sorted((data / REPORTS).glob("*"))
        if not paths:
            raise ConfigError(f"{data / REPORTS}: no reports; make a data set with `sysscan-train synth`")
        # Not that of the training, once the knowledge has changed and the answers were made anew.
        made = {"data": dataset_digest(data), "most": most}
        chosen = _most_frequent(_raised(paths, knowledge, progress))[:most]
    for _, found in _raised(reports, knowledge, progress):
        chosen += found.values()
    try:
        manifest = read_manifest(model)
        weights = manifest.part_digest("onnx")
        classes, unknown = trained_classes(manifest), knows_unknown(manifest)
        shipped = read_answers(model, manifest, "onnx")
        known = dict(shipped.items()) if shipped is not None else {}
        recorder = Recorder(open_generator(model), known)
    except (EngineError, ValueError) as error:
        raise ConfigError(str(error)) from error
    analyst = ModelAnalyst(recorder, knowledge, "recorded", classes, knows_unknown=unknown)
    chosen = [question for question in chosen if analyst.takes(question)]
    for number, question in enumerate(sorted(chosen, key=lambda one: (one.class_id, one.key))):
        for attempt in range(MAX_ATTEMPTS):
            answer = analyst.analyse(question, attempt).result()
            wrong = None if answer is None else analyst.critique(question, answer)
            if answer is not None and wrong is None:
                break
            question = replace(question, refused=refusal(wrong))
        progress("answers", number + 1, len(chosen))
    recorder.close()
    if not recorder.answers:
        raise ConfigError(
            f"{model}: the model answers nothing: {analyst.failure or 'it was trained on no class of these'}"
        )
    if data is None:
        made = {name: value for name, value in (manifest.record.get("answers") or {}).items() if name in _OF_DATA}
        recorder.answers.update(known)
    else:
        made["questions"] = len(chosen)
    write_answers(model, weights, recorder.answers)
    count = len(recorder.answers)
    more = {"reports": len(reports)} if reports else {}
    relist(model, {"answers": {**made, **more, "file": FILE, "answers": count}})
    return count


def _raised(
    reports: Sequence[Path], knowledge: Knowledge, progress: Progress
) -> Iterator[tuple[Path, dict[str, Question]]]:
    """Yield for each report the questions that it raises, by their prompts; questions with one prompt are one.

    Raises:
        ConfigError: if one cannot be read.
    """
    resources = Resources(knowledge, Policy(), load_intel([]), version="trainer")
    maker = CaseMaker(knowledge)
    for number, path in enumerate(reports):
        try:
            raised = list(questions(path.read_bytes(), resources))
        except (OSError, ReportError) as error:
            raise ConfigError(f"{path}: not a report that can be read: {error}") from error
        yield path, {_prompt(one.question, maker, knowledge): one.question for one in raised}
        progress("reports", number + 1, len(reports))


def _prompt(question: Question, maker: CaseMaker, knowledge: Knowledge) -> str:
    if question.unknown is not None:
        return render_unknown(unknown_case(question, knowledge))
    return render_prompt(maker.case(question))


def _most_frequent(raised: Iterable[tuple[Path, dict[str, Question]]]) -> list[Question]:
    """Order the questions of reports by the number of hosts that raise them."""
    asked: dict[str, Question] = {}
    hosts: Counter[str] = Counter()
    for _, found in raised:
        for prompt, question in found.items():
            asked.setdefault(prompt, question)
        hosts.update(found.keys())
    return [asked[prompt] for prompt in sorted(hosts, key=lambda prompt: (-hosts[prompt], prompt))]
