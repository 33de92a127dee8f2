"""Finds secrets in free text by the text before them: URLs, headers, assignments, JSON, flags; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devtools.redaction.keys import HIDDEN, Secrecy, holds_secret, is_ordinary, is_plain, looks_random, secrecy_of

_ANY = re.compile(
    r"pass|pwd|secret|token|credential|key|bearer|basic |authorization|cookie|://|@tcp|@unix|auth|dsn|jwt|salt|psk|otp|creds|pw\b"
    r"|eyJ|gh[pousr]_|github_pat|glpat|xox|hvs\.|sk-",
    re.IGNORECASE,
)
_SHAPES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"""(?<=[a-z0-9+.-])://[^\s/?#"'<>:@]*:(?P<secret>[^\s/?#"'<>]+)@""",  # https://user:password@host
        r"""(?<=[a-z0-9+.-])://(?P<secret>[\w-]{20,})@""",  # https://token@host
        r"""(?<=[\w.-]):(?P<secret>[^\s:@/"']+)@(?:tcp|unix)\(""",  # a Go driver's user:password@tcp(host)
        r"""\b(?:bearer|basic)\s+(?P<secret>(?=[a-z._~+/=-]*\d|\S{24})[a-z0-9._~+/=-]{8,})""",
        r"""\bauthorization\\?["']?\s*[:=]\s*\\?["']?(?:bearer|basic|token|digest|apikey)\s+(?P<secret>[^\s"',;\\]+)""",
        r"""\b(?:set-)?cookie\\?["']?\s*[:=]\s*\\?["']?(?P<secret>[^\s=;"':]+=[^\s"';]+(?:;\s*[^\s=;"']+=[^\s"';]+)*)""",
        r"""\b(?P<secret>eyJ[\w-]{8,2048}\.eyJ[\w-]{8,}\.[\w-]*)""",  # a JSON Web Token
        r"""\b(?P<secret>(?:gh[pousr]_|github_pat_|glpat-|xox[abpr]-|hvs\.)[\w-]{16,})""",
    )
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)", re.DOTALL)
_ASSIGNMENTS = tuple(
    re.compile(pattern)
    for pattern in (
        # KEY=value, key="a value", ?token=value&…
        r"""(?<![\w.])(?P<key>[A-Za-z_][\w.-]{0,80})=(?:\\?"(?P<a>[^"\\\n]+)|'(?P<b>[^'\n]+)|(?P<secret>[^\s"'&;\\]+))""",
        # key = value, as TOML, INI and HCL write it, and KEY := value
        r"""(?x) (?<![\w.])(?P<key>[A-Za-z_][\w.-]{0,80}) (?:[ \t]{1,20}:?=>?[ \t]{1,20}|:=[ \t]{0,20})
        (?:\\?"(?P<a>[^"\\\n]+)|'(?P<b>[^'\n]+)|(?P<secret>(?![\w.]*\()[^\s"'=&;,.\\][^\s"'&;,\\]*))""",
        # key:"value", key: "value"
        r"""(?<![\w.])(?P<key>[A-Za-z_][\w.-]{0,80}):[ \t]{0,20}(?:"(?P<a>[^"\\\n]+)"|'(?P<b>[^'\n]+)')""",
        # a password after its colon, without a space
        r"""(?x) (?<![\w./-])(?P<key>[A-Za-z_-]{0,40}(?:[Pp]assword|PASSWORD|[Pp]asswd|[Pp]assphrase|[Pp]wd)):
        (?P<secret>(?!=)[^\s"'&;,:/\\{}\[\]]+)""",
        # <key>value</key>
        r"""<(?P<key>[A-Za-z_][\w.:-]{0,80})(?:[ \t][^<>\n]{0,200})?>(?P<secret>[^<>\n]+)</""",
        # "key": "value", also with its quotes escaped
        r""""(?P<key>[^"\\\n]{1,80})\\*"\s*:\s*\\*"(?P<secret>(?:[^"\\\n]|\\(?!"))+)""",
        # {key: value, …}
        r"""[{,]\s*["']?(?P<key>[A-Za-z_][\w.-]{0,80})["']?:\s+["']?(?P<secret>[^\s,}"'{\[][^,}"'\n]*)""",
        # --key value
        r"""(?<!\S)--(?P<key>[A-Za-z][\w-]{0,80})\s+["']?(?P<secret>[^\s"'-][^\s"']*)""",
    )
)
# map[key:value …] and {key:value …}, as Go prints maps and structures
_IN_BRACKETS = re.compile(r"""(?:(?<=map\[)|(?<=\{)|\s)(?P<key>[A-Za-z_][\w.-]{0,80}):(?P<secret>[^\s\[\]{}:/"]+)""")
# key: value in the middle of a line
_WITHIN = re.compile(r"""(?<![\w./-])(?P<key>[A-Za-z_][\w-]{0,80}):[ \t]{1,20}(?P<secret>[^\s"'&;,\\(){}\[\]<>]+)""")
_LINE = re.compile(r"""^[ \t"'-]*(?P<key>[\w./-]{1,120})["']?[ \t]*:[ \t]+["']?(?P<secret>[^\s"'].*)""")
_LINES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        # key:, and the value on a line of its own
        r"""(?x) ^[ \t"'-]*(?P<key>[\w./-]{1,120})["']?[ \t]*:[ \t]*(?:[|>][+-]?[ \t]*)?\n
        [ \t]+["']?(?P<secret>[^\s"'\#-][^\s"':]*)["']?[ \t]*$""",
        # name: key, and its value
        r"""(?x) ^[ \t-]*[Nn]ame:[ \t]*["']?(?P<key>[A-Za-z_][\w.-]{0,80})["']?[ \t]*\n
        [ \t]*[Vv]alue:[ \t]+["']?(?P<secret>[^\s"'][^\n"']*)""",
    )
)
_COMMENT = re.compile(r"(?<=[ \t])#.*")
_FIRST = re.compile(r"([^\s,;]+)[,;][ \t]+[\w.-]{1,80}[:=]")  # of several settings on a line
_UNOPENED = re.compile(r"[^\[{]+")
_BLOCKS = ("map[", "{", "[", "|", ">", "&", "*")  # the start of a structure, not of a secret
_PASSWORD = re.compile(r"passw|passphrase|pwd", re.IGNORECASE)
_BARE = frozenset(
    {"key", "keys", "pass", "secret", "secrets", "token", "tokens", "auth", "cookie", "cookies", "salt", "pat"}
)


def secrets_in(text: str) -> list[str]:
    """Return the secrets in a text, as written there."""
    return [text[start:end] for start, end in spans(text)]


def without_secrets(text: str) -> str:
    """Return the text with `HIDDEN` in place of the secrets."""
    return replaced(text, spans(text))


def spans(text: str) -> list[tuple[int, int]]:
    """Return the spans of the secrets."""
    if not _ANY.search(text):
        return []
    found = [match.span() for match in _PRIVATE_KEY.finditer(text)]
    for shape in _LINES:
        matches = shape.finditer(text)
        found += [match.span("secret") for match in matches if _is_assigned(match["key"], match["secret"])]
    at = 0
    for line in text.split("\n"):
        if _ANY.search(line):
            found += [(at + start, at + end) for start, end in _spans(line)]
        at += len(line) + 1
    return found


def replaced(text: str, found: list[tuple[int, int]]) -> str:
    """Return the text with `HIDDEN` in place of each span; spans that touch or overlap become one."""
    parts: list[str] = []
    at = 0
    for start, end in sorted(found):
        if end <= at:
            continue
        if start > at or not parts:
            parts += [text[at:start], HIDDEN]
        at = end
    return "".join([*parts, text[at:]])


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of secrets in one line."""
    for shape in _SHAPES:
        for match in shape.finditer(text):
            if not is_ordinary(match["secret"]):
                yield match.span("secret")
    for assignment in _ASSIGNMENTS:
        for match in assignment.finditer(text):
            group = next(name for name in ("secret", "a", "b") if name in match.groupdict() and match[name] is not None)
            if _is_assigned(match["key"], match[group]):
                yield match.span(group)
    yield from _in_brackets(text)
    for match in _WITHIN.finditer(text):
        value = match["secret"].rstrip(".:")
        named = "-" in match["key"] and not looks_random(value)  # an object, and something about it
        if value and not named and not is_plain(value) and _is_assigned(match["key"], value):
            yield match.start("secret"), match.start("secret") + len(value)
    if (whole := _LINE.match(text)) and (value := _value(whole["key"], whole["secret"])):
        yield whole.start("secret"), whole.start("secret") + len(value)


def _in_brackets(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of secrets in maps and structures as Go prints them, up to the closing bracket."""
    for piece in _UNOPENED.finditer(text):
        end = max(text.rfind("]", *piece.span()), text.rfind("}", *piece.span()))
        for match in _IN_BRACKETS.finditer(text, piece.start(), max(end, piece.start())):
            if _is_assigned(match["key"], match["secret"]):
                yield match.span("secret")


def _value(key: str, rest: str) -> str:
    """Return the rest of a line after `key: ` if it is a secret, otherwise an empty text."""
    if not _PASSWORD.search(key):
        rest = _COMMENT.sub("", rest)
        if several := _FIRST.match(rest):
            rest = several[1]
    value = rest.rstrip(" \t")
    if value[1:] and value[-1] in "\"'":
        value = value[:-1]
    is_sentence = " " in value and not _PASSWORD.search(key)  # `token: will expire`: only passwords have several words
    return value if not is_sentence and _is_assigned(key, value) else ""


def _is_assigned(key: str, value: str) -> bool:
    """Return whether a text assigns a secret to a key; an ambiguous one-word key needs a value that looks random."""
    secrecy = secrecy_of(key)
    if secrecy is Secrecy.PUBLIC or value.startswith(_BLOCKS) or is_ordinary(value):
        return False
    if value.isdecimal():
        return holds_secret(int(value), secrecy)
    return looks_random(value) if key.lower() in _BARE else holds_secret(value, secrecy)
