"""Query: what a page is asked for. It lives in the address, so that it can be kept and sent to someone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from orchestrator.status import JobView
from orchestrator.web.tone import shown_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A state or "" for every one, a text or "" for any, and a page that counts from 1."""

    state: str = ""
    text: str = ""
    page: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Self:
        """From an address; what makes no sense counts as not given."""
        page = parameters.get("page", "")
        return cls(
            state=parameters.get("state", ""),
            text=parameters.get("q", "").strip(),
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    @property
    def narrow(self) -> bool:
        """Whether anything is left out."""
        return bool(self.state or self.text)

    @property
    def href(self) -> str:
        """The address of this page."""
        values = {"state": self.state, "q": self.text, "page": self.page if self.page > 1 else ""}
        given = {name: value for name, value in values.items() if value}
        return "/" + (f"?{urlencode(given)}" if given else "")

    def asks_for(self, job: JobView) -> bool:
        """Whether the job is among what is asked for."""
        return self.state in {"", shown_state(job)} and self.text.casefold() in _words(job)


def _words(job: JobView) -> str:
    """Everything that a text may find, one thing a line."""
    error = (job.error.kind, job.error.message) if job.error else ()
    remote = (job.remote_job_id, job.remote_file_id, job.fine_tuned_model)
    words = (job.account, job.provider, job.base_model, job.organization, shown_state(job), *job.labels)
    return "\n".join(word.casefold() for word in (*words, *remote, *error) if word)
