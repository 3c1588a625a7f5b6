"""`sysscan-agent explain`."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console
from rich.text import Text

from daemon.cli.commands import command_text
from daemon.cli.exits import Exit, die, say
from daemon.cli.looking import find_line, lines_beside, searched
from daemon.cli.settings_to_read import settings_to_read
from daemon.cli.summary import KEY, LEVEL_STYLES
from daemon.cli.superseded import Now, now_of
from daemon.cli.terminal import terminal
from daemon.cli.trail import Trail, trail_of
from pipeline.display import printable
from pipeline.errors import RecordError
from pipeline.features import load_features
from pipeline.finding import ClassBasis
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.output.read import read_finding
from pipeline.output.records import EnrichedFinding
from pipeline.output.write import write
from pipeline.retrieval.likely import Likely
from pipeline.review.log import FILE_NAME
from pipeline.rules.compliance import FRAMEWORK_NAMES
from pipeline.rules.remediate import Action

_BASES: dict[ClassBasis, str] = {
    "exact": "all that the report says",
    "id": "the form of its id",
    "shape": "its id with severity and metadata",
    "words": "its title and description",
    "review": "a reviewer",
}
_SHORTEST = 6  # hex digits; fewer match too much
_COPIED = 65536  # characters; a text that is copied into a shell must not be cut


@dataclass(slots=True, frozen=True)
class Explained:
    """What the knowledge says of a finding beyond its line."""

    knowledge_in_use: str
    meaning: str | None
    topics: Mapping[str, str]
    trail: Trail
    now: Now | None = None  # where a verdict came after the line


def explain_finding(
    given: Mapping[str, Any],
    config: Path | None,
    finding: str,
    *,
    source: Path | None,
    format_: Literal["text", "json"] | None,
    brief: bool = False,
) -> Exit:
    """Find a finding and say why it is what it is; `brief`: only what it is and what to do."""
    finding = finding.lower()
    if len(finding) < _SHORTEST or not all(digit in "0123456789abcdef" for digit in finding):
        die(Exit.USAGE, f"{printable(finding)}: give at least {_SHORTEST} hex digits of a dedupe key or a fingerprint")
    settings = settings_to_read(given, config)
    found = find_line(settings, finding, source)
    if found is None:
        where, elsewhere = searched(settings, source)
        for said in elsewhere:
            say(f"sysscan-agent: {said}")
        die(
            Exit.NOT_FOUND,
            f"no finding {finding} in {where}; --from names a file of enriched findings or a scanner report",
        )
    try:
        line = read_finding(found.line)
    except RecordError as error:
        where, _ = searched(settings, source)
        die(Exit.USAGE, f"{where}: the line of {finding} cannot be read: {printable(str(error))}")
    knowledge = load_knowledge(load_features, settings.knowledge_dirs)
    trail = trail_of(found.ledger, settings.state_dir / FILE_NAME, line)
    try:
        now = now_of(line, lines_beside(found))
    except RecordError as error:
        die(Exit.USAGE, f"{found.output}: {error}")
    if format_ == "json" or (format_ is None and not sys.stdout.isatty()):
        spec = knowledge.classes.get(line.class_)
        topics = {ref.topic for ref in spec.topics} if spec is not None else set()
        explained = Explained(
            knowledge_in_use=knowledge.digest,
            meaning=spec.meaning if spec is not None else None,
            topics={key: knowledge.topics[key].title for key in sorted(topics)},
            trail=trail,
            now=now,
        )
        sys.stdout.buffer.write(b'{"explained":%s,"finding":%s}\n' % (write(explained), found.line.strip()))
        return Exit.DONE
    console = terminal()
    if now is not None:
        console.print(now.told(), style="bold")
    if brief:
        show_briefly(console, line)
        return Exit.DONE
    show_finding(console, line, knowledge)
    for text in trail.told():
        _item(console, text, style="dim")
    return Exit.DONE


def show_briefly(console: Console, line: EnrichedFinding) -> None:
    """Print a finding: what it is and what to do."""
    _head(console, line)
    _what_to_do(console, line)
    if line.likely is not None:
        _heading(console, "What it seems to be about")
        for said in _likely(line.likely):
            _item(console, said)
    console.print(f"\nWhy it is what it is: sysscan-agent explain {line.dedupe_key[:KEY]}", style="dim")


def show_finding(console: Console, line: EnrichedFinding, knowledge: Knowledge) -> None:
    """Print a finding and why it is what it is."""
    finding, risk, spec = line.finding, line.risk, knowledge.classes.get(line.class_)
    _head(console, line)
    _heading(console, "What it is")
    _item(console, f"class {line.class_}: {spec.meaning if spec is not None else 'not in the knowledge'}")
    if line.class_basis != "exact":
        _item(console, f"recognised by {_BASES[line.class_basis]}, because not all that the report says fits")
    if line.class_candidates:
        _item(console, f"could be: {', '.join(line.class_candidates)}")
    for name, values in (("slots", line.slots), ("features", line.features)):
        if values:
            _item(console, f"{name}: " + ", ".join(f"{key}={printable(value)}" for key, value in values.items()))
    if finding.restored:
        _item(console, f"restored from knowledge, not in the report: {', '.join(finding.restored)}")
    _heading(console, "How the score comes about")
    for factor in risk.factors:
        _item(console, f"{factor.points:+4}  {factor.name}: {printable(factor.why, 1000)}", hang=6)
    if line.suppression is not None:
        entry = line.suppression
        until = f" until {entry.expires}" if entry.expires is not None else ""
        _item(console, f"accepted by {printable(entry.owner)}{until}: {printable(entry.reason, 1000)}")
    if line.review is not None:
        review = line.review
        said = review.verdict.replace("_", " ")
        _item(
            console,
            f"verdict {review.seq} ({said}, {review.scope}) by {printable(review.author)}, {review.at}: "
            f"{printable(review.reason, 1000) or 'no reason given'}; without it {review.status_without}, "
            f"{review.level_without}",
        )
        if review.overruled is not None:
            _item(console, f"it does not count in full: {printable(review.overruled, 1000)}", style="yellow")
    if line.correlations:
        _heading(console, "Together with")
        for group in line.correlations:
            _item(console, f"{group.title} ({group.rule}): {group.why}")
    _what_to_do(console, line)
    if line.likely is not None:
        _heading(console, "What it seems to be about")
        for said in _likely(line.likely):
            _item(console, said)
    if line.cut is not None:
        _heading(console, "Not in this line, which would be too long")
        for part in line.cut.parts:
            _item(console, f"{printable(part.what)}: {part.kept:,} of {part.of:,} {part.unit} are here")
        if line.cut.others:
            _item(console, f"and {line.cut.others:,} more keys")
        # Not wrapped, so that it can be copied.
        console.print(Text(f"    all of it: {printable(line.cut.whole, 1000)}", "dim"), soft_wrap=True)
    if line.compliance or line.attack:
        _heading(console, "Mapped to")
        for text in _mappings(line):
            _item(console, text)
    _in_policy(console, line)
    _heading(console, "Where it comes from")
    provenance, analysis = line.provenance, line.analysis
    note = analysis.model or (analysis.fallback_reason or "").replace("_", " ")
    why = f" ({printable(note)})" if note else ""
    words = ", in the words of the knowledge" if (analysis.origin, analysis.text_by) == ("model", "rules") else ""
    _item(
        console,
        f"analysis by {analysis.origin}{why}{words}, confidence {analysis.confidence}, key {analysis.key}",
    )
    made_by = (
        ("agent", provenance.agent),
        ("intel", provenance.intel),
        ("knowledge", provenance.knowledge),
        ("policy", provenance.policy),
        ("runtime", provenance.runtime),
        ("source format", provenance.source_format),
    )
    for name, value in made_by:
        if value:
            _item(console, f"{name} {value}", style="dim")


def _head(console: Console, line: EnrichedFinding) -> None:
    finding, risk, analysis = line.finding, line.risk, line.analysis
    head = Text(f"{printable(finding.title or finding.id)}\n", "bold")
    head.append(f"{risk.level} {risk.score}", LEVEL_STYLES[risk.level])
    head.append(f"  {line.status} (by {line.status_basis})  host {printable(line.host)}", "not bold")
    console.print(head)
    _item(console, f"{printable(finding.scanner)} reports {printable(finding.id, 1000)}", style="dim")
    if finding.description:
        _item(console, printable(finding.description, 2000), style="dim")
    console.print()
    console.print(printable(analysis.assessment, 2000))
    console.print(printable(analysis.impact, 2000), style="dim")
    if line.artefact is not None:
        artefact = line.artefact
        degree = artefact.degree.replace("_", " ")
        console.print(f"\nScanner artefact ({degree}): {artefact.why}", style="magenta")
        _item(console, f"check: {printable(artefact.check, 1000)}", style="dim")


def _what_to_do(console: Console, line: EnrichedFinding) -> None:
    if line.remediation:
        _heading(console, "What to do")
        chosen = line.analysis.action
        for action in sorted(line.remediation, key=lambda action: action.id != chosen):
            _action(console, action)


def _in_policy(console: Console, line: EnrichedFinding) -> None:
    """Name the finding as an entry of a policy file does; there the values of slots are patterns."""
    _heading(console, "As an entry of a policy file names it")
    slots = {name: escape(value) for name, value in line.slots.items()}
    said = {"class": line.class_, "fingerprint": line.fingerprint, **({"slots": slots} if slots else {})}
    for name, value in said.items():
        is_flat = isinstance(value, str)
        entry = yaml.safe_dump({name: value} if is_flat else value, default_flow_style=not is_flat, width=1 << 20)
        text = entry.strip() if is_flat else f"{name}: {entry.strip()}"
        console.print(Text(f"    {printable(text, _COPIED)}", "dim"), soft_wrap=True)


def _heading(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold")


def _item(console: Console, text: str | Text, *, hang: int = 2, style: str = "") -> None:
    """Print text that hangs below its own beginning where it is longer than a line."""
    whole = text if isinstance(text, Text) else Text(text, style)
    lines = whole.wrap(console, max(console.width - 2 - hang, 20))
    for number, part in enumerate(lines):
        console.print(Text(" " * (2 if number == 0 else 2 + hang)) + part, soft_wrap=True)


def _action(console: Console, action: Action) -> None:
    _item(console, printable(action.summary, 1000))
    if action.contraindicated:
        _item(console, f"  no command, because: {action.contraindicated}", hang=4, style="yellow")
    for name, text in (("command", action.command), ("check", action.check), ("rollback", action.rollback)):
        if text and not text.startswith(": "):  # the shell's way to say that there is nothing to do
            console.print(command_text(text, 4, console.width, f"{name:>8}:"), soft_wrap=True)
    if action.caution:
        _item(console, f"  mind: {printable(action.caution, 1000)}", hang=4, style="yellow")
    if action.acceptance:
        _item(
            console,
            "  the scanner does not see it: put this under `allow` in a policy file once the check passes",
            hang=4,
        )
        console.print(Text(f"            {printable(action.acceptance, _COPIED)}", "dim"), soft_wrap=True)


def _likely(likely: Likely) -> Iterator[str]:
    """Say what an unknown finding seems to be about, and that this is no mapping."""
    if not likely.topics:
        yield "too little in its words: nothing is claimed"
    for topic in likely.topics:
        yield f"{topic.title} ({topic.topic}, {topic.score} %): it speaks of {', '.join(topic.evidence)}"
    if likely.controls:
        named = ", ".join(f"{one.framework} {one.control}" for one in likely.controls)
        yield f"controls of the first ({likely.basis}, no evidence): {named}"
    if likely.look is not None:
        yield f"first look: {likely.look.summary}"
        yield f"$ {likely.look.command}"


def _mappings(line: EnrichedFinding) -> Iterator[Text]:
    for control in line.compliance:
        framework = FRAMEWORK_NAMES[control.framework]
        text = Text(f"{framework} {control.control} ", "cyan")
        text.append(f"{control.title}: {control.evidence} evidence", "default")
        basis = control.basis + (", core" if control.core else "")
        note = f"doubtful: {control.caution}" if control.caution else control.source
        yield text.append(f" ({basis}; {note})", "dim")
    for technique in line.attack:
        text = Text(f"ATT&CK {technique.technique} ", "cyan")
        yield text.append(technique.name, "default").append(f" ({technique.basis})", "dim")
