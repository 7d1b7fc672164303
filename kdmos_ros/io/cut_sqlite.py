"""An sqlite3 file of rosbag2 that was cut off, read row by row as far as it goes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from kdmos_ros.closing import Closing


class CutSqlite(Closing):
    """Reads the rows before the damage, in the order of recording.

    Args:
        path: .db3 file.

    Attributes:
        connections: see rosbags' Reader; counts are of the messages that can be read.

    Raises:
        sqlite3.Error: not even the topics can be read.
    """

    def __init__(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?immutable=1"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        try:
            # Else a file that is shorter than its header says is refused as a whole.
            self._database.execute("PRAGMA writable_schema=ON")
            self._topics = self._database.execute(
                "SELECT id, name, type, serialization_format FROM topics"
            ).fetchall()
            self._counts = Counter(number for number, _, _ in self._rows())
            self.connections = [self._connection(*row) for row in self._topics]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def messages(self, connections: Collection[Any]) -> Iterator[tuple[Any, int, bytes]]:
        """As rosbags' Reader: connection, time of recording in ns, and bytes."""
        wanted = {connection.id: connection for connection in connections}
        for number, time, data in self._rows():
            if number in wanted:
                yield wanted[number], time, data

    def _rows(self) -> Iterator[tuple[int, int, bytes]]:
        rows = self._database.execute(
            "SELECT topic_id, timestamp, data FROM messages NOT INDEXED ORDER BY id"
        )
        while True:
            try:
                row = next(rows, None)
            except sqlite3.DatabaseError:  # here is the end of what is there
                return
            if row is None:
                return
            yield row

    def _connection(self, number: int, topic: str, msgtype: str, encoding: str) -> Any:
        from rosbags.interfaces import Connection, ConnectionExtRosbag2

        return Connection(
            number,
            topic,
            msgtype,
            self._definition(msgtype),
            "",
            self._counts[number],
            ConnectionExtRosbag2(encoding, []),
            self,
        )

    def _definition(self, msgtype: str) -> Any:
        from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

        formats = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
        try:
            row = self._database.execute(
                "SELECT encoding, encoded_message_definition FROM message_definitions"
                " WHERE topic_type = ?",
                (msgtype,),
            ).fetchone()
        except sqlite3.DatabaseError:  # Humble's have no such table
            row = None
        if row is None or row[0] not in formats:
            return MessageDefinition(MessageDefinitionFormat.NONE, "")
        return MessageDefinition(formats[row[0]], row[1])
