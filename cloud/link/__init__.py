"""The cloud's connection to the broker: MQTT 5 on gmqtt, acknowledged only after our commit."""

from cloud.link.link import Lifecycle, Link, Receive
from cloud.link.section import BrokerSection

__all__ = ["BrokerSection", "Lifecycle", "Link", "Receive"]
