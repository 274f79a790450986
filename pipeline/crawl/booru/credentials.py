"""Name and key of a booru account: read from the environment, kept out of messages."""

import base64
import os
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, urlsplit

from gan.errors import GanError

USER, KEY = "GAN_BOORU_USER", "GAN_BOORU_KEY"
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Credentials:
    """Name and key, both empty without an account; not shown, not even by repr."""

    user: str = field(default="", repr=False)
    key: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.key)

    @property
    def authorization(self) -> str:
        """The header of HTTP Basic authentication."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.key}".encode()).decode()

    def is_in(self, text: str) -> bool:
        """True where `text` holds the key in any of its forms."""
        return any(form in text for form in self._forms)

    def redact(self, text: str) -> str:
        """`text` with both masked; the key also as it stands in an address or a header."""
        for form in (*self._forms, self.user):
            text = text.replace(form, "***") if form else text
        return text

    @property
    def _forms(self) -> tuple[str, ...]:
        if not self:
            return ()
        pair = self.authorization.removeprefix("Basic ")
        escaped = (quote(self.key), quote(self.key, safe=""), quote_plus(self.key))
        return (self.key, *escaped, pair)


ANONYMOUS = Credentials()


def read_credentials(root: str) -> Credentials:
    """The account in GAN_BOORU_USER and GAN_BOORU_KEY, to be sent to the site `root`.

    Raises GanError where only one is set, or where they would be sent unencrypted.
    """
    user, key = (os.environ.get(name, "").strip() for name in (USER, KEY))
    if bool(user) != bool(key):
        missing, present = (USER, KEY) if key else (KEY, USER)
        raise GanError(f"{present} is set, but {missing} is not; set both or neither")
    parts = urlsplit(root)
    if key and parts.scheme != "https" and parts.hostname not in THIS_MACHINE:
        raise GanError(f"{root}: {KEY} is not sent over plain http; use https:// or unset it")
    return Credentials(user, key)
