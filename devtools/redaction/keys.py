"""Decides by its key, and by its form if the key is ambiguous, whether a value is secret; pure.

`tests/cases/secrets.yaml` lists what must be hidden and what must stay readable.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum

HIDDEN = "***"


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


class Secrecy(IntEnum):
    """What a key says about the scalar under it."""

    PUBLIC = 0
    UNLIKELY = 1  # secret if the value looks random: `secretKey` may also name a key of a Secret
    LIKELY = 2  # secret unless the value is a plain word, a name or a path: `key`, `credentials`
    TEXT = 3  # secret unless it is a number: `tokens` may count them
    SECRET = 4
    ALL = 5  # the same, also if a user's name is the key: `passwords: {user: …}`


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Words that make a key secret at any position; a word may be joined to others (`PGPASSWORD`, `authtoken`).
_STRONG = re.compile(
    r"(?:passw(?:o?r?d|ort)|passphrase|passcode|secret|token|credential|(?<!public)(?:private|secret|access|api|signing|"
    r"encryption|master)key)s?$|^(?:dockerconfigjson|htpasswd)$"
)
_COMPOUND = re.compile(r"(?:private|api|access|signing|encryption|master|ssh|tls)key$|connectionstring|^stringdata$")
# Words that make a key secret as its last word.
_LAST = frozenset(
    {"pwd", "pw", "pass", "creds", "bearer", "cookie", "cookies", "jwt", "dsn", "salt", "psk", "otp", "pat"}
)
_GLUED = re.compile(r"(?:pwd|pass)$")
_NOT_GLUED = frozenset({"bypass", "compass", "trespass", "surpass", "overpass", "underpass", "onepass"})
# Last words that make it a fact about a secret, not the secret itself: `secretName`, `tokenTTL`, `cookieDomain`.
_ABOUT = words("""
    name names namespace namespaces ref refs path paths type kind class store version enabled disabled annotations
    labels provider file files filename dir directory mount mounts volume size length bits ttl expiry expiration
    expires expired lifetime timeout seconds minutes hours days count limit max min id ids url uri endpoint host
    issuer audience audiences algorithm alg format encoding prefix suffix policy policies rotation rotate interval
    refresh required optional engine header domain property properties template operator env mode method user username
    account email scope scopes permissions role roles index hash digest checksum count pattern regex description title
    generator lookup exists automount immutable
""")
_USERS = words("user username account role operator")
# Words next to `key` that make it public, or the name of a key.
_PUBLIC_KEYS = words("""
    public pub topology partition primary foreign sort unique label annotation group cache routing shard hash index
    config map field row object json item lookup dedup idempotency host authorized trusted allowed known header
    metadata order translation message i18n query event state feature parent child
""")
_NAMES_A_KEY = words("""
    password passwd pass passphrase secret token user username name database host port uri url endpoint data value id
    key ca cert certificate crt client server tls root admin replication
""")
_OBJECTS = frozenset({"secret", "secrets", "credential", "credentials"})  # the content or the name of a key
# Keys of a Secret that hold no secret.
_PUBLIC_DATA = words("""
    user username login host hostname port database dbname db namespace type provider region bucket endpoint ca.crt
    tls.crt cert.pem ca.pem ca-bundle.crt service-ca.crt known_hosts
""")
# Values that are never secret, and words that are frequent in ordinary output.
_ORDINARY = words("""
    true false null none nil yes no on off enabled disabled default auto always never required optional unset set
    empty missing absent present random generated external internal file env redacted
""")
_COMMON = _ORDINARY | words("""
    password passwd secret token key pass admin root user postgres postgresql mysql redis
""")
_PLACEHOLDER = re.compile(
    r"(?:\{\{.*\}\}|\$\{.*\}|\$\(.*\)|\$\w+|<[^<>]*>|%\w|\*+|…|\.\.\.|x{3,})?", re.DOTALL | re.IGNORECASE
)
_PLAIN = re.compile(r"[a-z]+(?:[-_. ][a-z]+)*|[A-Z]+(?:_[A-Z]+)*")  # a word or several, without digits
_NAME = re.compile(r"[a-z]+(?:\d{1,2}[a-z]*)?(?:-[a-z]+(?:\d{1,2}[a-z]*)?)+")  # of an object: `oauth2-proxy`
_PATH = re.compile(r"[~.]{0,2}/[\w./@+-]*|[\w.-]+\.[a-z]{2,}/[\w./-]+")  # a file, or a label such as example.com/zone
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_PIN = 1000  # the smallest number that may be a secret rather than a count
_RANDOM = 8  # characters of the shortest value that looks random
_REFERENCES = re.compile(
    r"(?:ref|refs|expressions|tolerations|items|selector|selectors|source|sources)$", re.IGNORECASE
)
_BESIDE_A_KEY = frozenset({"name", "operator", "effect", "property", "path", "secretKey", "remoteRef", "optional"})


def is_secret(path: Iterable[str], value: object = None) -> bool:
    """Return whether a value under these keys, outermost first, is secret; without one, whether a string may be."""
    inside = Secrecy.PUBLIC
    secrecy = Secrecy.PUBLIC
    for key in path:
        secrecy = secrecy_of(key, inside)
        inside = inherited(key, inside)
    return holds_secret(value, secrecy) if isinstance(value, str | int | float) else secrecy >= Secrecy.LIKELY


@functools.lru_cache(4096)
def secrecy_of(key: str, inside: Secrecy = Secrecy.PUBLIC) -> Secrecy:
    """Return what a key says about a scalar under it; `inside` is what the maps around it pass on."""
    words = [word.lower() for word in _WORD.findall(key)]
    if words and words[-1] == "value" and _strong(words[:-1], "".join(words[:-1])):  # `apiKeyValue`
        words.pop()
    joined = "".join(words)
    last = words[-1] if words else ""
    about = last in _ABOUT and not (inside is Secrecy.ALL and last in _USERS)
    if about or joined.startswith("existing") or joined.endswith("pullsecrets"):
        return Secrecy.PUBLIC
    if last in {"key", "keys"}:
        return max(_of_key(words, joined), Secrecy.UNLIKELY if inside else Secrecy.PUBLIC)
    if last in {"auth", "auths"}:
        return max(inside, Secrecy.UNLIKELY)
    if _strong(words, joined) or last in _LAST or (_GLUED.search(last) and last not in _NOT_GLUED):
        if last in _OBJECTS:
            return Secrecy.LIKELY
        return Secrecy.TEXT if last.endswith("s") and last != "pass" else Secrecy.SECRET
    return inside


def inherited(key: str, inside: Secrecy = Secrecy.PUBLIC) -> Secrecy:
    """Return what a map or list under this key passes on to the scalars in it."""
    words = [word.lower() for word in _WORD.findall(key)]
    joined = "".join(words)
    if not words:
        return inside
    if joined.startswith("existing") or words[-1] in _ABOUT or joined.endswith("pullsecrets"):
        return Secrecy.PUBLIC
    if words[-1] == "passwords":
        return Secrecy.ALL
    if _strong(words, joined):
        return Secrecy.LIKELY if words[-1] in _OBJECTS else Secrecy.SECRET
    return Secrecy.UNLIKELY if words[-1] == "keys" else inside


def is_reference(parent: str, item: Mapping[object, object]) -> bool:
    """Return whether the `key` of a map names something: a toleration, a selector, a `secretKeyRef`."""
    return bool(_REFERENCES.search(parent)) or not _BESIDE_A_KEY.isdisjoint(map(str, item))


def is_public_data(key: str) -> bool:
    """Return whether this key of a Secret's data holds a value that is not secret, such as a user name."""
    return key.lower() in _PUBLIC_DATA


def holds_secret(value: str | float, secrecy: Secrecy) -> bool:
    """Return whether a scalar is secret by what its key says."""
    if not isinstance(value, str):
        number = not isinstance(value, bool) and abs(value) >= _PIN
        return number and secrecy >= Secrecy.SECRET
    if _PRIVATE.search(value):
        return True
    if secrecy is Secrecy.PUBLIC or is_ordinary(value):
        return False
    if secrecy >= Secrecy.TEXT:
        return True
    return not is_plain(value) and (secrecy is Secrecy.LIKELY or looks_random(value))


def is_plain(value: str) -> bool:
    """Return whether it is words, a name of an object, or a path."""
    return any(shape.fullmatch(value) for shape in (_PLAIN, _NAME, _PATH))


def is_ordinary(value: str) -> bool:
    """Return whether it is a word that is never secret (`true`), a placeholder, or empty."""
    bare = value.strip()
    return bare.lower() in _ORDINARY or _PLACEHOLDER.fullmatch(bare) is not None


def is_common(value: str) -> bool:
    """Return whether it is frequent in ordinary output, which would be unreadable if it were hidden there."""
    return value.strip().lower() in _COMMON or is_ordinary(value)


def looks_random(value: str) -> bool:
    """Return whether it is long and mixes letters with digits or cases, as generated values do."""
    if len(value) < _RANDOM or " " in value:
        return False
    letters, digits = any(c.isalpha() for c in value), any(c.isdigit() for c in value)
    is_mixed = value not in {value.lower(), value.upper()}
    return (letters and digits) or (is_mixed and len(value) >= 2 * _RANDOM)


def _strong(words: list[str], joined: str) -> bool:
    return any(_STRONG.search(word) for word in words) or bool(_COMPOUND.search(joined))


def _of_key(words: list[str], joined: str) -> Secrecy:
    """Return what a key whose last word is `key` means: a secret, or the name of a key."""
    before = words[:-1]
    if words[-1] == "keys" and not before:
        return Secrecy.UNLIKELY
    if not before:
        return Secrecy.LIKELY
    if not _PUBLIC_KEYS.isdisjoint(before):
        return Secrecy.PUBLIC
    if before[-1] in _NAMES_A_KEY:
        return Secrecy.UNLIKELY
    return Secrecy.SECRET if _strong(words, joined) else Secrecy.LIKELY
