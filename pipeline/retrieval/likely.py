"""What an unknown finding looks like: topics with the words that speak for them, controls, and a first look."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pipeline.contract import Doc, Items, Percent

LikelyBasis = Literal["retrieved", "model"]


@dataclass(slots=True, frozen=True)
class LikelyTopic:
    """A topic of the knowledge that the finding may be about."""

    topic: Annotated[str, Doc("Id of the topic.")]
    title: Annotated[str, Doc("Its title.")]
    score: Annotated[
        Percent,
        Doc(
            "How likely the finding is about it, in per cent: from the words that both have, as learnt from findings "
            "of other tools. What is missing to 100 is other topics and none."
        ),
    ]
    evidence: Annotated[
        tuple[str, ...], Items(most=6), Doc("Words of the finding that the topic has, the weightiest first.")
    ]


@dataclass(slots=True, frozen=True)
class LikelyControl:
    """A control that the likely topic is mapped to."""

    framework: Annotated[str, Doc("Id of the framework.")]
    control: Annotated[str, Doc("Id of the control.")]
    title: Annotated[str, Doc("Its title.")]
    basis: Annotated[
        LikelyBasis,
        Doc("How the topic was found: by words (`retrieved`), or chosen by a model (`model`). Neither is a source."),
    ]


@dataclass(slots=True, frozen=True)
class FirstLook:
    """A command that changes nothing, from a closed list; no text of the finding is in it."""

    id: Annotated[str, Doc("Which of the knowledge's looks.")]
    subject: Annotated[str, Doc("The kind of thing that is looked at.")]
    summary: Annotated[str, Doc("What it shows.")]
    command: Annotated[str, Doc("The command, for a root shell.")]


@dataclass(slots=True, frozen=True)
class Likely:
    """What a finding of an unknown kind looks like. It is no evidence: `compliance` does not have it."""

    claimed: Annotated[
        bool, Doc("Whether the first topic is likelier than none; else neither topic nor control is named.")
    ]
    basis: Annotated[LikelyBasis, Doc("Who chose the first topic: the search by words, or a model.")]
    topics: Annotated[tuple[LikelyTopic, ...], Items(most=3), Doc("At most three topics, the likeliest first.")] = ()
    controls: Annotated[
        tuple[LikelyControl, ...], Items(unique=True), Doc("Controls that the first topic is mapped to.")
    ] = ()
    look: Annotated[FirstLook | None, Doc("What to look at first, or null.")] = field(default=None)
