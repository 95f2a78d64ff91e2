"""Faust's transport: it reads committed records only, hands them on by the run, and commits what
was really handled.

Faust reads uncommitted records, and finds the offset to commit from runs of acknowledged ones,
which the markers of transactions interrupt: measured on a topic written in transactions, 76 of 200
handled records were read again (docs/decisions/activator-sender-on-faust.md). A sender handles
records in the order of the log, so the offset to commit is the one behind the last handled.

On its way through Faust a record costs more than to decide about it. So a message of ours is a run
of records of one partition, as the broker has answered them, and stands at the offset of its last.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP


class CommittedThread(AIOKafkaConsumerThread):
    """Reads what transactions have committed."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class CommittedConsumer(Consumer):
    """Hands on runs, which are the `run` of each message, and commits behind the last handled
    record of each partition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handled: dict[TP, int] = {}
        self._next: dict[TP, int] = {}
        self._newest = 0.0

    @property
    def lag_records(self) -> int:
        """Offsets behind the last handled one; the marker of the last transaction is none."""
        behind = ((self.highwater(tp) or 0) - after - 1 for tp, after in self._next.items())
        return sum(max(0, each) for each in behind)

    @property
    def newest(self) -> float:
        """Append time of the newest handled record, Unix seconds."""
        return self._newest

    def handled(self, records: Iterable[Any]) -> None:
        """These and all before them in their partitions are done with."""
        last = {(record.topic, record.partition): record for record in records}
        for place, record in last.items():
            tp = TP(*place)
            self._handled[tp] = self._next[tp] = record.offset + 1
            self._newest = max(self._newest, record.timestamp / 1000)

    async def _getmany(self, *args: Any, **kwargs: Any) -> Mapping[TP, Any]:
        records = await super()._getmany(*args, **kwargs)
        return {tp: [run] for tp, run in (records or {}).items() if run}

    def _to_message(self, tp: TP, run: Sequence[Any]) -> Any:
        message: Any = super()._to_message(tp, run[-1])
        message.run = run
        return message

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter(list(self._handled))

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        self._gap.pop(tp, None)
        return self._handled.pop(tp, None)


class CommittedTransport(Transport):
    """The transport of a sender."""

    Consumer = CommittedConsumer
