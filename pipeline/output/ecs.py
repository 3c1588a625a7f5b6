"""Lines as the Elastic Common Schema (ECS) has them: its fields in front, the record whole under `sysscan`.

Our `host` is a name and theirs is an object, so the two cannot stand side by side. Field names and types are those of
ECS 8.11, https://www.elastic.co/guide/en/ecs/8.11/ecs-field-reference.html.
"""

from typing import Any, Final

from pipeline.display import printable
from pipeline.finding import Level
from pipeline.harmless import as_json
from pipeline.output.cut import LineRecord
from pipeline.output.lines import LONGEST, fitted
from pipeline.output.records import EnrichedFinding, HostFacts, IssueRecord, ScanLine
from pipeline.output.write import write

VERSION: Final = "8.11.0"
_LONG = 500  # characters of the message
_SHORT = 100  # of a name
_TECHNIQUES = 10
_TAIL: Final = b',"sysscan":'
_SEVERITY: Final[dict[Level, int]] = {"info": 0, "low": 21, "medium": 47, "high": 73, "critical": 99}
_AT_STAKE: Final = frozenset({"open", "unknown", "error"})
Fields = dict[str, Any]


def ecs_line(record: LineRecord) -> bytes:
    """Write a record for ECS, without the line end; the record in it is cut where the line would be too long."""
    head = as_json(_fields(record))[:-1] + _TAIL
    return head + write(fitted(record, LONGEST - 2 - len(head))) + b"}"


def plain_line(line: bytes) -> bytes:
    """Give the record in a line for ECS as a line of its own; another line as it is."""
    if not line.startswith(b'{"@timestamp":'):
        return line
    _, between, record = line.rstrip().partition(_TAIL)
    return record[:-1] if between and record.endswith(b"}}") else line


def _fields(record: LineRecord) -> Fields:
    if isinstance(record, EnrichedFinding):
        return _finding(record)
    if isinstance(record, IssueRecord):
        return _issue(record)
    if isinstance(record, ScanLine):
        return _scan(record)
    said = f"{record.author} decided: {record.verdict} ({record.scope})"
    made = _common("verdict", record.dedupe_key, record.at, said, record.host, None)
    made["event"] |= {"kind": "event", "category": ["configuration"], "type": ["change"], "action": record.verdict}
    made["event"]["reason"] = printable(record.reason, _LONG)
    made["user"] = {"name": printable(record.author, _SHORT)}
    return made


def _finding(record: EnrichedFinding) -> Fields:
    finding, at = record.finding, record.observed_at or record.as_of
    what = finding.title or finding.id
    said = f"{what}: {record.analysis.assessment}" if record.analysis.assessment else what
    made = _common("finding", record.dedupe_key, at, said, record.host, record.host_facts)
    made["event"] |= _judged("alert" if record.status in _AT_STAKE else "state", record.risk.level, record.risk.score)
    made["event"]["provider"] = printable(finding.scanner, _SHORT)
    made["rule"] = _rule(record.class_, record.category, what, record.provenance.knowledge)
    made["observer"] = _observer(record.provenance.agent)
    if record.attack:
        some = record.attack[:_TECHNIQUES]
        technique = {"id": [one.technique for one in some], "name": [printable(one.name, _SHORT) for one in some]}
        made["threat"] = {"framework": "MITRE ATT&CK", "technique": technique}
    return made


def _issue(record: IssueRecord) -> Fields:
    said = f"{record.title}: {record.assessment}" if record.assessment else record.title
    made = _common("issue", record.dedupe_key, record.observed_at or record.as_of, said, record.host, None)
    made["event"] |= _judged("state", record.level, record.score)
    made["event"]["provider"] = printable(record.scanner, _SHORT)
    made["rule"] = _rule(record.class_, "", record.title, record.provenance.knowledge)
    made["observer"] = _observer(record.provenance.agent)
    return made


def _scan(record: ScanLine) -> Fields:
    counts = record.counts
    said = f"Scan of {record.host}: {counts.lines:,} findings, {counts.issues:,} issues"
    at = record.started_at or record.as_of
    made = _common("scan", record.dedupe_key, at, said, record.host, record.host_facts)
    outcome = "success" if record.complete else "failure"
    made["event"] |= {"kind": "event", "category": ["host"], "type": ["info"], "outcome": outcome}
    if record.started_at is not None:
        made["event"]["start"] = record.started_at
    if record.finished_at is not None:
        made["event"]["end"] = record.finished_at
    made["observer"] = _observer(record.provenance.agent)
    return made


def _common(kind: str, key: str, at: str, said: str, host: str | None, facts: HostFacts | None) -> Fields:
    made: Fields = {
        "@timestamp": at,
        "ecs": {"version": VERSION},
        "event": {"dataset": f"sysscan.{kind}", "id": key, "module": "sysscan"},
        "message": printable(said, _LONG),
    }
    if host is not None:
        name = printable(host, _SHORT)
        made["host"] = {"hostname": name, "name": name}
        made["related"] = {"hosts": [name]}
        if facts is not None:
            made["host"] |= _machine(facts)
    return made


def _machine(facts: HostFacts) -> Fields:
    made: Fields = {"os": {"type": "linux"}}
    if facts.os is not None:
        made["os"]["full"] = printable(facts.os, _SHORT)
    if facts.kernel is not None:
        made["os"]["kernel"] = printable(facts.kernel, _SHORT)
    if facts.arch is not None:
        made["architecture"] = printable(facts.arch, _SHORT)
    return made


def _judged(kind: str, level: Level, score: int) -> Fields:
    return {
        "kind": kind, "category": ["configuration"], "type": ["info"], "risk_score": float(score),
        "severity": _SEVERITY[level],
    }  # fmt: skip


def _rule(class_: str, category: str, name: str, knowledge: str) -> Fields:
    made = {
        "id": printable(class_, _SHORT), "name": printable(name, _SHORT), "ruleset": "sysscan-agent",
        "version": printable(knowledge, _SHORT),
    }  # fmt: skip
    return {**made, "category": printable(category, _SHORT)} if category else made


def _observer(agent: str) -> Fields:
    return {"product": "sysscan-agent", "type": "scanner", "version": printable(agent, _SHORT)}
