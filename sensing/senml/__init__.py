"""SenML (RFC 8428) in JSON and CBOR: packs as they travel, and the smaller body that a station keeps of them."""

from sensing.senml.decode import decode
from sensing.senml.encode import encode
from sensing.senml.pack import Header, Item, Pack

__all__ = ["Header", "Item", "Pack", "decode", "encode"]
