"""The remote-control message that tells workers of a cancelled request. No I/O."""

from __future__ import annotations

import base64
import json
import uuid

from producer.connections import Command

__all__ = ["notice_command"]


def notice_command(request_id: str, *, db: int) -> Command:
    """The command that tells every worker of a broker, now, that a request is cancelled.

    It is not Celery's ``revoke``: a worker that is told so refuses the id for hours, also if it is sent again.

    Args:
        request_id: the request.
        db: the broker's database.
    """
    order = {
        "method": "cancel_requests",
        "arguments": {"request_ids": [request_id]},
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
