"""A body that may be compressed, unpacked as far as there is room: what a bomb would become is never made."""

import zlib

ACCEPTED = "gzip, deflate"
_RAW_DEFLATE = -zlib.MAX_WBITS  # some servers mean this by `deflate`
_EITHER_HEADER = zlib.MAX_WBITS + 32


class Unpacker:
    """Unpacks the parts of one body in turn; raises ValueError for a coding that was not asked for."""

    def __init__(self, coding: str) -> None:
        coding = coding.strip().lower() or "identity"
        if coding not in ("identity", "gzip", "x-gzip", "deflate"):
            raise ValueError("It is compressed in a way that was not asked for.")
        self._stream = None if coding == "identity" else zlib.decompressobj(_EITHER_HEADER)
        self._may_be_raw = coding == "deflate"

    def unpack(self, part: bytes, room: int) -> bytes:
        """At most `room` bytes of what the part holds; raises ValueError where it is broken."""
        if self._stream is None:
            return part[:room]
        try:
            found = self._stream.decompress(part, room)
        except zlib.error:
            if not self._may_be_raw:
                raise ValueError("Its compression is broken.") from None
            self._stream, self._may_be_raw = zlib.decompressobj(_RAW_DEFLATE), False
            return self.unpack(part, room)
        self._may_be_raw = False
        return found

    @property
    def ended(self) -> bool:
        """Whether a compressed body came to its own end; what follows it is no part of it."""
        return self._stream is not None and self._stream.eof
