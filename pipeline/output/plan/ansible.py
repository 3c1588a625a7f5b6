"""A plan as a playbook: each step looks, acts only where it has to, and looks again; `--tags undo` takes it all back.

Whatever holds a value of the host is tagged `!unsafe`, which Ansible never reads as a template, or stands in a name or
a comment in which no template can begin. Commands are handed to /bin/sh as one argument.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from pipeline.display import printable
from pipeline.errors import AgentError
from pipeline.output.plan.steps import WHY_TEXTS, Plan, Step
from pipeline.output.plan.words import about, counted, heading, left_out

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_GROUPS = frozenset({"all", "ungrouped", "localhost"})
_TEMPLATE = re.compile(r"\{(?=[{%#])")
# What a drop-in's line does by itself, a handler does here: ten lines about one unit would restart it ten times.
_WAIT = 'systemctl() { case $1 in daemon-reload | try-restart) ;; *) command systemctl "$@" ;; esac; }; '
_TARGET = "sysscan_target | default('{host}')"


class UnfitHost(AgentError):
    """Raised where a host's name cannot stand for one host in a playbook."""


class _Unsafe(str):
    """Text that Ansible must not read as a template."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes unsafe text with its tag, and lists indented, as the linters want them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _unsafe(dumper: yaml.SafeDumper, text: _Unsafe) -> yaml.ScalarNode:
    return dumper.represent_scalar("!unsafe", str(text), style="|")


_Dumper.add_representer(_Unsafe, _unsafe)


def check_host(host: str) -> None:
    """See that a host's name can stand in a playbook.

    Raises:
        UnfitHost: where Ansible would take it for something else, as for a pattern or for all hosts.
    """
    if _HOST.fullmatch(host) is None or host in _GROUPS:
        raise UnfitHost(
            f"{host}: no name that a playbook can have for one host; name the host with --host when the report is "
            "analysed, or take --format bash"
        )


def ansible(plans: Iterable[Plan]) -> Iterator[bytes]:
    """Write plans as one playbook, two plays for each host.

    Raises:
        UnfitHost: see `check_host`.
    """
    yield b"---\n# yamllint disable rule:line-length rule:comments-indentation\n"
    for plan in plans:
        check_host(plan.host)
        for text in _plays(plan):
            yield text.encode()


def _plays(plan: Plan) -> Iterator[str]:
    for line in (*heading(plan), *left_out(plan)):
        yield _comment(line)
    yield _comment("")
    yield _comment(
        "ansible-playbook plan.yml --check says what is to be done, without --check it is done, and --tags undo"
    )
    yield _comment(
        "takes it back. For some steps: --tags step_1,step_2 (undo_1,undo_2). Where the inventory calls the host"
    )
    yield _comment("otherwise: -e sysscan_target=NAME.")
    for aside in plan.asides:
        said = WHY_TEXTS[aside.why] + (f" ({aside.reason})" if aside.reason else "")
        what = aside.about.removesuffix(".") if aside.findings == 1 else counted(aside)
        yield _comment(f"NOT IN THIS PLAYBOOK: {what}. {said}. {about(aside.findings, aside.labels)}.")
    plays = [_play(plan, "steps", _apply(plan)), _play(plan, "the way back", _undo(plan))]
    yield yaml.dump(plays, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)


def _play(plan: Plan, what: str, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    target = _TARGET.format(host=plan.host)
    first = {
        "name": "The host is the one that the plan was made for",
        "ansible.builtin.assert": {"that": [f"inventory_hostname == ({target})"], "quiet": True},
        "tags": ["always"],
    }
    return {
        "name": f"Remediation plan for {plan.host}, {what}",
        "hosts": f"{{{{ {target} }}}}",
        "become": True,
        "gather_facts": False,
        "tasks": [first, *tasks],
        "handlers": _handlers(plan),
    }


def _apply(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "name": _name(f"Step {step.number}: {step.summary}"),
            "tags": [f"step_{step.number}"],
            "vars": {
                **({"sysscan_mind": _Unsafe(step.caution)} if step.caution else {}),  # for who reads it
                "sysscan_check": _Unsafe(step.check),
                "sysscan_apply": _Unsafe(f"{_WAIT if step.unit is not None else ''}{step.command}"),
            },
            "block": [
                {
                    "name": f"See whether step {step.number} is in effect",
                    "ansible.builtin.command": _shell("sysscan_check"),
                    "register": "sysscan_seen",
                    "changed_when": "ansible_check_mode and sysscan_seen.rc != 0",
                    "failed_when": False,
                    "check_mode": False,
                },
                {
                    "name": f"Take step {step.number}",
                    "ansible.builtin.command": _shell("sysscan_apply"),
                    "when": "sysscan_seen.rc != 0",
                    "changed_when": True,
                    **_notify(plan, step),
                },
                {
                    "name": f"See that step {step.number} is in effect now",
                    "ansible.builtin.command": _shell("sysscan_check"),
                    "when": "sysscan_seen.rc != 0 and not ansible_check_mode",
                    "changed_when": False,
                },
            ],
        }
        for step in plan.steps
    ]


def _undo(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "name": _name(f"Take back step {step.number}: {step.summary}"),
            "ansible.builtin.command": {**_shell("sysscan_undo"), "removes": step.note},
            "changed_when": "sysscan_undone.start is not none",  # where nothing is noted, nothing was begun
            "register": "sysscan_undone",
            "vars": {"sysscan_undo": _Unsafe(f"{_WAIT if step.unit is not None else ''}{step.rollback}")},
            "tags": ["never", "undo", f"undo_{step.number}"],
            **_notify(plan, step),
        }
        for step in reversed(plan.steps)
    ]


def _shell(variable: str) -> dict[str, Any]:
    return {"argv": ["/bin/sh", "-c", f"{{{{ {variable} }}}}"]}


def _units(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.unit for step in plan.steps if step.unit is not None))


def _notify(plan: Plan, step: Step) -> dict[str, Any]:
    if step.unit is None:
        return {}
    return {"notify": ["Reload systemd", f"Restart unit {_units(plan).index(step.unit) + 1}"]}


def _handlers(plan: Plan) -> list[dict[str, Any]]:
    units = _units(plan)
    if not units:
        return []
    return [
        {"name": "Reload systemd", "ansible.builtin.systemd_service": {"daemon_reload": True}},
        *(
            {
                "name": f"Restart unit {number}",
                "ansible.builtin.command": {"argv": ["systemctl", "try-restart", "--", _Unsafe(unit)]},
                "changed_when": True,
            }
            for number, unit in enumerate(units, 1)
        ),
    ]


def _name(text: str) -> str:
    """Make a name in which no template begins."""
    return _TEMPLATE.sub("{ ", printable(text, 160))


def _comment(text: str) -> str:
    return f"# {printable(text, 4000)}".rstrip() + "\n"
