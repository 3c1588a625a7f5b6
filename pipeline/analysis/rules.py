"""The analyst of last resort: the texts of the knowledge, chosen by predicates."""

from collections.abc import Iterator, Sequence

from pipeline.classes.template import fill
from pipeline.display import printable
from pipeline.finding import Member, ScanHeader
from pipeline.knowledge.predicates import Test, compile_all, view
from pipeline.knowledge.schema import AnalysisText, Knowledge


class RulesAnalyst:
    """The texts of the knowledge, chosen by predicates; always has an answer."""

    def __init__(self, knowledge: Knowledge, profile: str) -> None:
        self._knowledge = knowledge
        self._profile = profile
        self._compiled: dict[str, list[tuple[Test, AnalysisText]]] = {}

    def say(self, member: Member, header: ScanHeader) -> tuple[str, str]:
        """Give assessment and impact of a finding."""
        finding = member.classified
        if finding.candidates:
            titles = [self._knowledge.classes[name].title for name in finding.candidates]
            if finding.class_basis != "exact":
                what = "one of these" if len(titles) > 1 else "this"
                return (
                    f"No known kind of finding fits in everything that the report says. It may be {what}: "
                    f"{'; '.join(titles)}. A newer scanner or a tool on the way may have changed it.",
                    "Treat it as the worst of them, and read the scanner's own text.",
                )
            return (
                f"The report does not say which of these it is: {'; '.join(titles)}. "
                "What would tell them apart is not in a report of this format.",
                "Treat it as the worst of them until a JSON report of the same host tells them apart.",
            )
        spec = self._knowledge.classes.get(finding.class_id)
        if spec is None:
            return (
                f"No knowledge of this kind of finding of the scanner {printable(finding.scanner)}.",
                "Not assessed: the scanner's own severity stands. Newer knowledge, or an entry of yours in "
                "knowledge.d, can say more.",
            )
        return self.written(member, header) or (f"{spec.title}.", spec.meaning)

    def written(self, member: Member, header: ScanHeader) -> tuple[str, str] | None:
        """Give what somebody wrote for findings like this one, or None where the knowledge has nothing but a title."""
        slots = member.classified.slots
        for text in self.fitting(member, header):
            assessment = fill(text.assessment, slots, printable)
            impact = fill(text.impact, slots, printable)
            if assessment is not None and impact is not None:
                return assessment, impact
        return None

    def fitting(self, member: Member, header: ScanHeader) -> Iterator[AnalysisText]:
        """Give what somebody wrote for findings like this one, as it was written, the first to be told first."""
        finding = member.classified
        spec = self._knowledge.classes.get(finding.class_id)
        if spec is None or finding.candidates:
            return
        seen = view(member, header)
        for test, text in self._texts(finding.class_id, spec.analysis):
            if test(seen):
                yield text

    def _texts(self, class_id: str, texts: Sequence[AnalysisText]) -> list[tuple[Test, AnalysisText]]:
        compiled = self._compiled.get(class_id)
        if compiled is None:
            compiled = self._compiled[class_id] = [
                (compile_all(text.when, self._knowledge.expected, self._profile), text) for text in texts
            ]
        return compiled
