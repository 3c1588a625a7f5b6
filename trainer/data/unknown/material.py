"""What made-up findings are told in, and the sentences of the answers: read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.knowledge.schema import Knowledge
from trainer.data.phrases import BadPhrase

FILE = Path(__file__).parent / "material.yaml"


@dataclass(slots=True, frozen=True)
class Material:
    """All of it.

    Attributes:
        frames: titles of findings about a topic.
        asides: what scanners add that says nothing about the subject.
        none: title and description of findings that no topic is about.
        families: by the beginning of a topic's id, what it may mean and why it matters.
        said: patterns of sentences, by what they are for.
    """

    frames: Sequence[str]
    asides: Sequence[str]
    none: Sequence[tuple[str, str]]
    families: Mapping[str, Mapping[str, str]]
    said: Mapping[str, Any]

    def family(self, topic: str) -> Mapping[str, str]:
        """Give what is said of a topic.

        Raises:
            BadPhrase: if nothing is; the material has a gap.
        """
        fitting = [start for start in self.families if topic.startswith(start)]
        if not fitting:
            raise BadPhrase(f"{FILE.name}: nothing is said of topic {topic}")
        return self.families[max(fitting, key=len)]


def load_unknown_material(knowledge: Knowledge, file: Path = FILE) -> Material:
    """Read the file, and hold it to the knowledge: something is said of every topic.

    Raises:
        BadPhrase: if it has a mistake or a gap.
    """
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    material = Material(
        frames=content["frames"],
        asides=content["asides"],
        none=[(title, description) for title, description in content["none"]],
        families=content["families"],
        said=content["said"],
    )
    for topic in knowledge.topics:
        material.family(topic)
    return material
