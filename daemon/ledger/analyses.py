"""The cache of answers: what was asked once need not be asked again."""

from collections.abc import Sequence

from daemon.ledger.store import Store

MAX_ANALYSES = 200_000  # about 200 MB at 1 KB each; the oldest go first
_VARIABLES = 500  # in one statement; SQLite's limit was 999 for long


class AnalysisCache(Store):
    """Implements `pipeline.analysis.question.AnalysisStore`."""

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with self._database.read() as connection:
            for start in range(0, len(keys), _VARIABLES):
                chunk = keys[start : start + _VARIABLES]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, value FROM analyses WHERE key IN ({marks})"  # noqa: S608
                found.update(connection.execute(query, chunk).fetchall())
        return {key: found[key] for key in keys if key in found}

    def store_analyses(self, analyses: dict[str, bytes]) -> None:
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO analyses (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                analyses.items(),
            )

    def prune(self, limit: int) -> int:
        """Delete at most `limit` of the answers beyond `MAX_ANALYSES`; returns how many."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM analyses WHERE row IN (SELECT row FROM analyses ORDER BY row LIMIT"
                " min(?, max(0, (SELECT count(*) FROM analyses) - ?)))",
                (limit, MAX_ANALYSES),
            ).rowcount
