"""Curves as a part of a TensorBoard log: `tensorboard --logdir <store>/runs` shows all parts as one."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence


def events(rows: Sequence[Mapping[str, float]]) -> bytes:
    """One event file holding each row's scalars at its position."""
    # imported where used: half a second, and only the worker that writes needs it
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    now = time.time()
    file = io.BytesIO()
    writer = RecordWriter(file)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    for row in rows:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in row.items() if tag != "position"]
        event = Event(wall_time=now, step=int(row["position"]), summary=Summary(value=values))
        writer.write(event.SerializeToString())
    return file.getvalue()
