"""Whether the server of Kubeflow Pipelines answers, is new enough, and takes the token."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import kfp

from mome.errors import MomeError
from pipelines.calls import Patience, read
from pipelines.client import NEEDED, Connection, connect
from pipelines.preflight.check import Answer, Check, Hidden, right

__all__ = ["Server"]


class Server:
    """A server that is looked at from outside, as a submission sees it.

    Args:
        find: Returns where it is and who asks.
        patience: With a server that fails.
    """

    def __init__(self, find: Callable[[], Connection], patience: Patience) -> None:
        self._find, self._patience = find, patience

    def checks(self) -> list[Check]:
        """Return the looks."""
        return [Check("server", self._answers), Check("token", self._lets_in)]

    @cached_property
    def _connection(self) -> Connection:
        return self._find()

    @cached_property
    def _client(self) -> kfp.Client:
        return connect(self._connection, self._patience)

    def _answers(self) -> Answer:
        _ = self._client
        return right(f"answers at {self._connection.host}, {'.'.join(map(str, NEEDED))} or newer")

    def _lets_in(self) -> Answer:
        try:
            runs = self._client.runs
        except MomeError as error:
            raise Hidden("the server could not be asked") from error
        read(
            "list the runs",
            runs.run_service_list_runs,
            namespace=self._connection.namespace or "",
            page_size=1,
            patience=self._patience,
        )
        who = self._connection.credentials
        return right("none is asked for" if who is None else f"is accepted ({who.source})")
