"""The remote-control message that revokes requests, as ``app.control.revoke`` of Celery publishes it. No I/O."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Sequence

from producer.connections import Command

__all__ = ["revoke_command"]


def revoke_command(request_ids: Sequence[str], *, db: int) -> Command:
    """The command that tells every worker of a broker to drop requests that it has not started.

    Args:
        request_ids: what to drop.
        db: the broker's database.
    """
    order = {
        "method": "revoke",
        "arguments": {"task_id": list(request_ids), "terminate": False, "signal": "SIGTERM"},
        "destination": None,
        "pattern": None,
        "matcher": None,
    }
    message = {
        "body": base64.b64encode(json.dumps(order).encode()).decode("ascii"),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"clock": 1, "expires": 0},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return ("PUBLISH", f"/{db}.celery.pidbox", json.dumps(message))
