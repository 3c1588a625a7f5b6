from pipeline.classes.classify import Classifier
from pipeline.finding import Classified, RawFinding, ScanHeader
from tests.pipeline.compiled import compiled
from tests.pipeline.knowledge.real_scans import classified, knowledge, names

TITLE = "Pseudo-YARA pattern match"


def classify(path: str, pattern: str, os_id: str = "debian") -> Classified:
    raw = RawFinding(
        "yara", f"{path}:yara:{pattern[:16]}", "medium", TITLE, "Pattern found in file prefix",
        metadata={"pattern": pattern, "path": path},
    )  # fmt: skip
    return Classifier(compiled(knowledge(), "default"), ScanHeader("json", host="h", os_id=os_id), "h").classify(raw)


def test_every_finding_of_the_real_reports_is_a_pattern_match() -> None:
    seen = [(raw, c) for name in names("json") for raw, c in classified(name, "yara")]
    assert len(seen) == 11
    for raw, found in seen:
        assert (found.class_id, found.status) == ("yara.pattern_match", "open")
        assert found.slots["path"] == raw.metadata["path"]
        assert raw.metadata["pattern"].startswith(found.slots["pattern"])


def test_ndjson_restores_the_path_but_not_the_cut_pattern() -> None:
    truth = {raw.id: c for raw, c in classified("web01-wk2-rules.json", "yara")}
    seen = list(classified("web01-wk2-rules.ndjson", "yara"))
    assert len(seen) == 11
    for raw, found in seen:
        other = truth[raw.id]
        assert (found.class_id, found.title, found.description, found.fingerprint) == (
            other.class_id, other.title, other.description, other.fingerprint,
        )  # fmt: skip
        assert found.metadata == {"path": other.metadata["path"]}


def test_sarif_is_settled_by_the_title() -> None:
    seen = [c for name in names("sarif") for raw, c in classified(name) if raw.title == TITLE]
    assert len(seen) == 11
    assert {c.class_id for c in seen} == {"yara.pattern_match"}


def test_a_pattern_or_path_with_the_separator_in_it_is_still_taken_apart() -> None:
    found = classify("/usr/local/bin/a:yara:b", "backup-exfil")
    assert (found.slots["path"], found.slots["pattern"]) == ("/usr/local/bin/a:yara:b", "backup-exfil")


def test_features_tell_what_the_signature_is_not_what_it_says() -> None:
    broad = classify("/bin/debconf", "usr/bin/perl -w")
    assert broad.features == {"pattern_kind": "interpreter_line", "place": "system_bin", "usr_alias": "likely"}
    assert classify("/usr/local/bin/x", "backup-exfil").features == {"pattern_kind": "word", "place": "usr_local"}


def test_situations_stay_few_whatever_the_names() -> None:
    situations = {classify(f"/usr/local/bin/x{n}", f"signature-{n}").situation for n in range(200)}
    assert len(situations) == 1
