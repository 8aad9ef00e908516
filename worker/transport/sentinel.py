"""The same transport where Sentinels know which server is the master."""

from __future__ import annotations

from kombu.transport import redis as stock

from worker.transport.channel import Channel
from worker.transport.transport import Transport
from worker.transport.unsettled import Broker

__all__ = ["SentinelChannel", "SentinelTransport"]


class SentinelChannel(Channel, stock.SentinelChannel):
    """Our channel on connections that kombu's channel for Sentinels makes: each asks for the master first."""

    from_transport_options = (*Channel.from_transport_options, *stock.SentinelChannel.from_transport_options)

    def _broker(self) -> Broker:
        # kombu goes from one Sentinel to the next, and the master changes: all of them are one broker.
        info = self.connection.client
        return Broker(self.master_name, None, info.virtual_host, self.keys.unacked)


class SentinelTransport(Transport):
    """Our transport, for ``sentinel://``."""

    Channel = SentinelChannel
    default_port = stock.SentinelTransport.default_port
