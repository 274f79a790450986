"""Names and addresses as they are recorded: printable, without credentials and local hosts."""

import ipaddress
import re
from urllib.parse import unquote, urljoin, urlsplit

LONGEST = 2000

_SECRET = re.compile(
    r"^(key|sig|jwt)$|^x_amz_|api_?key|access_?key|key_?pair|passw|pass_?hash|pwd|token|secret"
    r"|signature|credential|session|auth(?!or)",
    re.IGNORECASE,
)
_PERSONAL = re.compile(r"login|user_?name|user_?id|policy|expires", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """`text` with escapes for control characters and for bytes in no encoding."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def public_url(text: str, page: str = "") -> str:
    """A web address without user, password, tokens and signatures; empty where it is none.

    It may be relative to `page`. Addresses of this machine or its network are none.
    """
    if len(text) > LONGEST or re.search(r"\s", text):
        return ""
    try:
        parts = urlsplit(urljoin(page, text))
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not _is_public(host):
        return ""
    place = f"[{host}]" if ":" in host else host
    place = place if port is None else f"{place}:{port}"
    query, fragment = _keep_harmless(parts.query), _keep_harmless(parts.fragment)
    return parts._replace(netloc=place, query=query, fragment=fragment).geturl()


def strip_credentials(url: str) -> str:
    """The address without the fields of its query that hold a credential."""
    parts = urlsplit(url)
    return parts._replace(query=_keep_harmless(parts.query)).geturl()


def names_secret(name: str) -> bool:
    """True for the name of a query field that holds a credential, such as `api_key`."""
    return _SECRET.search(unquote(name).replace("-", "_")) is not None


def strip_secrets(text: str) -> str:
    """Free text with every web address in it made public; those that can't be are left out."""
    return " ".join(_ADDRESS.sub(lambda found: public_url(found[0]), text).split())


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal", ".lan"))


def _keep_harmless(query: str) -> str:
    """The fields of a query, as they are written, that hold no credential."""
    kept = []
    for field in re.split("[&;]", query):
        name, equals, _ = field.partition("=")
        personal = _PERSONAL.fullmatch(unquote(name).replace("-", "_"))
        if not equals or not (personal or names_secret(name)):
            kept.append(field)
    return "&".join(kept)
