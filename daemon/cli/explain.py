"""`sysscan-agent explain`."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.cli.exits import Exit, die
from daemon.cli.show import LEVEL_STYLES
from daemon.settings import load_settings
from pipeline.display import printable
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge

Json = Mapping[str, Any]
_SHORTEST = 6  # hex digits; fewer match too much


def explain_finding(
    given: Mapping[str, Any], config: Path | None, finding: str, *, source: Path | None, as_json: bool
) -> Exit:
    """Find a line of the output and say why it says what it says."""
    if len(finding) < _SHORTEST or not all(digit in "0123456789abcdef" for digit in finding):
        die(Exit.USAGE, f"{printable(finding)}: give at least {_SHORTEST} hex digits of a dedupe key or a fingerprint")
    settings = load_settings(os.environ, given, config)
    path = source or settings.output_path
    line = _find(path, finding.encode())
    if line is None:
        die(Exit.NOT_FOUND, f"no finding {finding} in {path}; --from names another file of enriched findings")
    knowledge = load_knowledge(settings.knowledge_dirs)
    if as_json or not sys.stdout.isatty():
        spec = knowledge.classes.get(line["class"])
        topics = {ref.topic for ref in spec.topics} if spec is not None else set()
        known = {
            "knowledge_in_use": knowledge.digest,
            "meaning": spec.meaning if spec is not None else None,
            "topics": {key: knowledge.topics[key].title for key in sorted(topics)},
        }
        explained = {"explained": known, "finding": line}
        sys.stdout.buffer.write(orjson.dumps(explained, option=orjson.OPT_SORT_KEYS) + b"\n")
        return Exit.DONE
    _show(Console(highlight=False, markup=False), line, knowledge)
    return Exit.DONE


def _find(path: Path, prefix: bytes) -> Json | None:
    """Search the file and its closed segments, the newest line first."""
    segments = sorted(path.parent.glob(f"{path.stem}.*{path.suffix}"), reverse=True)
    for file in (path, *segments):
        found: Json | None = None
        for line in _lines(file):
            # Cheap first: both keys are plain hex, so their text cannot occur escaped.
            if b'"dedupe_key":"' + prefix in line or b'"fingerprint":"' + prefix in line:
                candidate = orjson.loads(line)
                if candidate.get("dedupe_key", "").encode().startswith(prefix) or candidate.get(
                    "fingerprint", ""
                ).encode().startswith(prefix):
                    found = candidate
        if found is not None:
            return found
    return None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        die(Exit.USAGE, f"{path}: cannot be read: {error.strerror}")


def _show(console: Console, line: Json, knowledge: Knowledge) -> None:
    finding, risk, spec = line["finding"], line["risk"], knowledge.classes.get(line["class"])
    head = Text(f"{printable(finding['title'] or finding['id'])}\n", "bold")
    head.append(f"{risk['level']} {risk['score']}", LEVEL_STYLES[risk["level"]])
    head.append(f"  {line['status']} (by {line['status_basis']})  host {printable(line['host'])}\n")
    console.print(head)
    console.print(printable(line["analysis"]["assessment"], 2000))
    console.print(printable(line["analysis"]["impact"], 2000), style="dim")
    if line["artefact"] is not None:
        artefact = line["artefact"]
        degree = artefact["degree"].replace("_", " ")
        console.print(f"\nScanner artefact ({degree}): {artefact['why']}", style="magenta")
        console.print(f"  check: {printable(artefact['check'], 1000)}", style="dim")
    console.print("\nWhat it is", style="bold")
    console.print(f"  class {line['class']}: {spec.meaning if spec is not None else 'not in the knowledge'}")
    if line["class_candidates"]:
        console.print(f"  could be: {', '.join(line['class_candidates'])}")
    for name in ("slots", "features"):
        if line[name]:
            console.print(f"  {name}: " + ", ".join(f"{key}={printable(value)}" for key, value in line[name].items()))
    if finding["restored"]:
        console.print(f"  restored from knowledge, not in the report: {', '.join(finding['restored'])}")
    console.print("\nHow the score comes about", style="bold")
    for factor in risk["factors"]:
        console.print(f"  {factor['points']:+4}  {factor['name']}: {printable(factor['why'], 1000)}")
    if line["suppression"] is not None:
        entry = line["suppression"]
        console.print(f"  accepted by {entry['owner']} until {entry['expires']}: {printable(entry['reason'], 1000)}")
    if line["correlations"]:
        console.print("\nTogether with", style="bold")
        for group in line["correlations"]:
            console.print(f"  {group['title']} ({group['rule']}): {group['why']}")
    if line["compliance"] or line["attack"]:
        console.print("\nMapped to", style="bold")
        console.print(_mappings(line))
    if line["remediation"]:
        console.print("\nWhat to do", style="bold")
        for action in line["remediation"]:
            console.print(f"  {printable(action['summary'], 1000)}")
            if action["contraindicated"]:
                console.print(f"    no command, because: {action['contraindicated']}", style="yellow")
            for name in ("command", "check", "rollback"):
                if action[name]:
                    console.print(Text(f"    {name:>8}: {printable(action[name], 4000)}", "dim"))
    console.print("\nWhere it comes from", style="bold")
    analysis, provenance = line["analysis"], line["provenance"]
    console.print(
        f"  analysis by {analysis['origin']}"
        + (f" ({analysis['fallback_reason'].replace('_', ' ')})" if analysis["fallback_reason"] else "")
        + f", confidence {analysis['confidence']}, key {analysis['key']}"
    )
    console.print("  " + ", ".join(f"{name} {value}" for name, value in provenance.items() if value))


def _mappings(line: Json) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for control in line["compliance"]:
        basis = control["basis"] + (", core" if control.get("core") else "")
        note = f"doubtful: {control['caution']}" if control.get("caution") else control["source"]
        table.add_row("", control["framework"], control["control"], control["title"], control["evidence"], basis, note)
    for technique in line["attack"]:
        table.add_row("", "ATT&CK", technique["technique"], technique["name"], "", technique["basis"], "")
    return table
