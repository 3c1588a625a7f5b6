"""The sentences that a story is made of, and the one place where they are put into words.

A sentence is a template and its slots. A slot is a number or a text; what may follow a number agrees with it:

    {name}               the text of the slot
    {count#issue|issues} the number and the word for so many
    {count?is|are}       the word for so many, without the number

Text of the report stands in quotation marks within its slot (`pipeline.display.quoted`): whoever names a host, a file
or a finding cannot make it read as a sentence of ours.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, cast

from pipeline.display import printable
from pipeline.output.records.story import Part, Sentence, SentenceName

MAX_TEXT = 600  # characters of a text that is filled in

TEMPLATES: Final[Mapping[SentenceName, str]] = {
    "host.system": "{host} calls itself {system}.",
    "host.containers": "It looks like a host of containers: {count#process|processes} of its inventory "
    "{count?runs|run} in containers.",
    "host.servers": "It looks like a server: it has {count#unit|units} of server programs ({units}).",
    "host.services": "Its inventory has processes named like known services: {services}.",
    "host.reachable": "{count#socket waits|sockets wait} for connections on all addresses.",
    "matters.nothing": "Nothing is at stake in what this scan saw. Parts of the scanner that ran: {looked}.",
    "matters.count": "{issues#issue is|issues are} at stake ({levels}), made of {findings#finding|findings}.",
    "matters.worst": "What matters most is {level}: {title}{about}{doubt}.",
    "matters.next": "Next, {level}: {title}{about}{doubt}.",
    "matters.minor": "No issue is worse than {level}.",
    "matters.mistakes": "Of the findings at stake, {count#is|are} certainly or probably {count?a mistake|mistakes} of "
    "the scanner.",
    "matters.settled": "{count#finding is|findings are} accepted or judged {count?a false positive|false positives}, "
    "and not counted here.",
    "together.pattern": "{count#finding belongs|findings belong} together: {title}.",
    "together.why": "{why}",
    "together.more": "{count#more pattern|more patterns} of findings that belong together {count?is|are} not told "
    "here.",
    "together.shared": "{count#finding is|findings are} part of more than one pattern of an attack: treat them as one "
    "incident.",
    "changed.all_new": "Nothing is said of change: none of these findings was known before this scan.",
    "changed.nothing": "Nothing has changed since earlier scans of this kind.",
    "changed.counts": "Since earlier scans of this kind: {states}.",
    "changed.where": "The worst issue with something new in it is {level}: {title}{about}{doubt}.",
    "todo.first": "Before anything else: {first}",
    "todo.now": "Now: {summary}",
    "todo.act": "This week: {summary}",
    "todo.later": "When there is time: {summary}",
    "todo.no_hurry": "No issue is high or critical, so nothing has to be done this week.",
    "todo.expired": "{count#acceptance has|acceptances have} ended and {count?needs|need} a new decision.",
    "unseen.incomplete": "The report is incomplete, so a finding that is missing from it is not counted as resolved.",
    "unseen.rejected": "Could not be read, and missing here: {count#finding|findings} of the report.",
    "unseen.min_severity": "The scanner left out everything below {severity}.",
    "unseen.not_analysed": "Findings were not analysed because of a fault in the agent; each says so.",
    "unseen.notes": "Odd about the report: {notes}.",
    "unseen.unknown_class": "Of a kind that this program does not know: {count#line|lines} of the report.",
    "unseen.ambiguous_class": "Fits several kinds of finding, and does not say which: {count#line|lines} of the "
    "report.",
    "unseen.not_observed": "Not reported this time: {count#earlier finding|earlier findings}, which does not show "
    "that {count?it is|they are} gone.",
    "unseen.errors": "{count#part of the host was|parts of the host were} not looked at because a scanner failed.",
    "unseen.undecided": "Of {count#finding|findings} the report does not say enough to tell whether "
    "{count?it is|they are} a problem.",
    "unseen.unprivileged": "The scan did not run as root, so what only root may read is missing.",
    "unseen.no_baseline": "No earlier scan is kept beside this one, so nothing is known of what changed.",
    "unseen.cannot_show": "This scan cannot show what was resolved.",
}
_SLOT = re.compile(r"\{(\w+)(?:([#?])([^|}]*)\|([^}]*))?\}")
_COUNT = re.compile(r"0|[1-9][0-9]*")


class BadSentence(ValueError):
    """Raised when what is filled in does not fit the sentence."""


def sentence(name: SentenceName, **slots: str | int) -> Sentence:
    """Make a sentence.

    Raises:
        BadSentence: if it has other slots, or a number of it is none.
    """
    given = {key: str(value) if isinstance(value, int) else _cut(value) for key, value in slots.items()}
    return Sentence(cast(Part, name.partition(".")[0]), name, given, render(name, given))


def _cut(text: str) -> str:
    shown = printable(text, MAX_TEXT)
    # What was cut off may have been the end of a quotation.
    return f'{shown}"' if len(text) > MAX_TEXT and shown.count('"') % 2 else shown


def render(name: SentenceName, slots: Mapping[str, str]) -> str:
    """Put a sentence into words.

    Raises:
        BadSentence: if it has other slots, or a number of it is none.
    """
    texts, numbers = slots_of(name)
    if set(slots) != texts | numbers:
        raise BadSentence(f"{name}: has the slots {sorted(texts | numbers)}, not {sorted(slots)}")
    for slot in numbers:
        if _COUNT.fullmatch(slots[slot]) is None:
            raise BadSentence(f"{name}: {slot} is no number: {slots[slot]!r}")

    def fill(found: re.Match[str]) -> str:
        slot, mark, one, more = found.groups()
        if mark is None:
            return slots[slot]
        word = one if slots[slot] == "1" else more
        return word if mark == "?" else f"{int(slots[slot]):,} {word}"

    return _SLOT.sub(fill, TEMPLATES[name])


@lru_cache(maxsize=64)
def slots_of(name: SentenceName) -> tuple[frozenset[str], frozenset[str]]:
    """Name the texts and the numbers that a sentence has."""
    found = _SLOT.findall(TEMPLATES[name])
    numbers = frozenset(slot for slot, mark, *_ in found if mark)
    return frozenset(slot for slot, *_ in found) - numbers, numbers
