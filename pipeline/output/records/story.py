"""The story of a host: what a scan comes to, in sentences of a closed list."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.contract import Doc

Part = Literal["host", "matters", "together", "changed", "todo", "unseen"]
SentenceName = Literal[
    "changed.all_new", "changed.counts", "changed.nothing", "changed.where", "host.containers", "host.reachable",
    "host.servers", "host.services", "host.system", "matters.count", "matters.minor", "matters.mistakes",
    "matters.next", "matters.nothing", "matters.settled", "matters.worst", "todo.act", "todo.expired", "todo.first",
    "todo.later", "todo.no_hurry", "todo.now", "together.more", "together.pattern", "together.shared", "together.why",
    "unseen.ambiguous_class", "unseen.cannot_show", "unseen.errors", "unseen.incomplete", "unseen.min_severity",
    "unseen.no_baseline", "unseen.not_analysed", "unseen.not_observed", "unseen.notes", "unseen.rejected",
    "unseen.undecided", "unseen.unknown_class", "unseen.unprivileged",
]  # fmt: skip


@dataclass(slots=True, frozen=True)
class Sentence:
    """One sentence of the story: which one, and what is filled in."""

    part: Annotated[
        Part,
        Doc(
            "What it is about: the kind of host, what matters most, why it belongs together, what changed, what to do, "
            "or what could not be seen."
        ),
    ]
    name: Annotated[SentenceName, Doc("Which sentence of the list.")]
    slots: Annotated[Mapping[str, str], Doc("What is filled in: numbers as digits, names and texts as they are shown.")]
    text: Annotated[str, Doc("The sentence.")]
