"""fetchmail's settings: servers, each with its users, in a language that wants to be English (fetchmail(1)).

    defaults proto pop3
    poll pop.example.org  user me there with password secret is me here, ssl, keep

A file is read as a list of statements, each of them options; a server's and a user's are those of `defaults` with its
own behind them. What an option means here stands in `fetchmail_options`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from postoffice.errors import UsageError
from postoffice.home.rcfiles.fetchmail_options import GLOBAL, SERVER, USER, Kind, Option, take
from postoffice.home.rcfiles.fetchmail_words import Word, words
from postoffice.home.rcfiles.found import RcFile

_NOISE: Final = frozenset({"and", "with", "has", "wants", "options"})
_STATEMENTS: Final = frozenset({"set", "defaults", "poll", "server", "skip"})


@dataclass(slots=True)
class _Entry:
    """A server, or the defaults: what is said of it, and of each of its users."""

    verb: str
    name: str
    line: int
    options: list[Option] = field(default_factory=list)
    users: list[list[Option]] = field(default_factory=list)


def parse(text: str) -> RcFile:
    """Raises UsageError, with the line, where it is not as fetchmail itself would read it."""
    reading = _Reading(text)
    entries, settings = list[_Entry](), list[Option]()
    while (word := reading.next()) is not None:
        if word.is_quoted or word.text not in _STATEMENTS:
            raise UsageError(f"line {word.line}: here a statement begins: poll, skip, defaults or set")
        if word.text == "set":
            settings.append(reading.option(GLOBAL))
        else:
            entries.append(reading.entry(word))
    rc = RcFile()
    defaults = _Entry("defaults", "", 0)
    for entry in entries:
        if entry.verb == "defaults":
            defaults = entry
            continue
        usual = defaults.users[0] if defaults.users else []
        users = [usual + user for user in entry.users] or [usual]
        for user in users:
            take(
                rc,
                entry.verb,
                Option("poll", entry.line, (entry.name,)),
                settings,
                defaults.options + entry.options,
                user,
            )
    return rc


class _Reading:
    """The words that are left."""

    def __init__(self, text: str) -> None:
        self._words = list(words(text))
        self._place = 0

    def peek(self) -> Word | None:
        """What follows, where it is not a value that must be: noise is passed over."""
        while self._place < len(self._words):
            word = self._words[self._place]
            if word.is_quoted or word.text not in _NOISE:
                return word
            self._place += 1
        return None

    def next(self) -> Word | None:
        word = self.peek()
        self._place += word is not None
        return word

    def entry(self, verb: Word) -> _Entry:
        """A server, or the defaults, up to the next statement."""
        name = "" if verb.text == "defaults" else self._string()
        entry = _Entry(verb.text, name, verb.line)
        while (word := self.peek()) is not None and (word.is_quoted or word.text not in _STATEMENTS):
            key = word.text.removeprefix("no") if word.text != "no" else self._after(word)
            if word.is_quoted:
                raise UsageError(f"line {word.line}: a string stands where an option should")
            if word.text in ("user", "username"):
                self.next()
                entry.users.append(self._user(word))
            elif word.text in SERVER or key in SERVER:
                if entry.users:
                    raise UsageError(f"line {word.line}: {word.text} is of the server, and stands behind a user")
                entry.options.append(self.option(SERVER))
            else:
                if not entry.users:
                    entry.users.append([])
                entry.users[-1].append(self.option(USER))
        return entry

    def _user(self, word: Word) -> list[Option]:
        """`user NAME`, `user NAME there`, or `user NAME here` which is the other way round."""
        name = self._string()
        here = self._is_here()
        return [Option("is" if here else "user", word.line, (name,))]

    def _is_here(self) -> bool:
        word = self.peek()
        if word is not None and not word.is_quoted and word.text in ("here", "there"):
            self.next()
            return word.text == "here"
        return False

    def option(self, known: dict[str, Kind]) -> Option:
        """One with its values, as its kind wants them."""
        word = self.next()
        if word is None:
            raise self._missing()
        is_no, key = False, word.text
        if key not in known and key == "no":
            is_no, key = True, self._string()
        elif key not in known and key.startswith("no"):
            is_no, key = True, key.removeprefix("no")
        if key not in known:
            raise UsageError(f"line {word.line}: a word that fetchmail does not know, or not here")
        kind = known[key]
        option = Option(kind.name, word.line, is_no=is_no)
        if is_no or kind.values == "":
            return option
        if kind.values == "names":
            return self._names(option)
        if kind.values == "list":
            return replace(option, values=tuple(self._list(known)))
        value = self._string()
        if kind.values == "skipping" and value.isdecimal() and self._is_value(known):
            value = self._string()
        return replace(option, values=(value,))

    def _names(self, option: Option) -> Option:
        """Local names, `a=b` among them, and perhaps `here`; or a name elsewhere and `there`."""
        names: list[str] = []
        while (word := self.peek()) is not None:
            if not names:
                names.append(self._string())
            elif word.is_equals:
                self.next()
                names[-1] = f"{names[-1]}={self._string()}"
            elif self._is_value(USER | SERVER):
                names.append(self._string())
            else:
                break
        is_there = (word := self.peek()) is not None and word.text == "there" and not word.is_quoted
        self._is_here()
        return replace(option, name="user" if is_there else option.name, values=tuple(names))

    def _list(self, known: dict[str, Kind]) -> Iterator[str]:
        while self._is_value(known):
            yield self._string()

    def _is_value(self, known: dict[str, Kind]) -> bool:
        """Whether what follows is no word of the language."""
        word = self.peek()
        if word is None:
            return False
        bare = word.text.removeprefix("no")
        language = _STATEMENTS | {"here", "there", "no", "user", "username"} | known.keys() | USER.keys()
        return word.is_quoted or not (word.text in language or bare in language)

    def _string(self) -> str:
        """The word that must follow, whatever it is."""
        if self._place == len(self._words):
            raise self._missing()
        self._place += 1
        return self._words[self._place - 1].text

    def _missing(self) -> UsageError:
        return UsageError(f"line {self._words[-1].line}: something is missing at the end")

    def _after(self, word: Word) -> str:
        following = self._words[self._place + 1] if self._place + 1 < len(self._words) else word
        return following.text
