r"""What exists before a transcript begins: the `@` lines of the notation, and how a store is made to look like that.

@ door mx|submission|lmtp|pop3 @ host foo.com          @ domain foo.com
@ account mrose tanstaaf       a name, of the first domain where it names none, and a password
@ letter mrose 120 [unique-id] a letter of exactly that many octets in somebody's maildrop
@ text mrose Subject: a\r\n    a letter of exactly these octets
@ stamp <1896.697@host>        APOP is on and the greeting has this stamp
@ certificate                  TLS can be begun     @ tls   it is there from the first octet
@ private                      passwords are not taken in clear
@ limit 1000                   octets of a letter   @ recipients 2   of a transaction    @ full   no room
@ exact                        free text is compared too
@ deviates VRFY 252            our reply where an RFC's example has another that is as good
@ needs PIPELINING             the claim is about who announces this
@ only server                  no client of ours would say this
@ finally mrose 2              how many letters a maildrop, or the `queue`, holds when all is over
"""

from __future__ import annotations

from dataclasses import dataclass, field

from postoffice.accounts import verifiers
from postoffice.protocols.dots import stuff
from postoffice.protocols.notation import NotationError, Scene, Step, unescaped
from postoffice.store.base import Store
from postoffice.store.model import Account, Credential, Letter

DAY = 879_999_999.0


@dataclass(frozen=True, slots=True)
class LaidLetter:
    """A letter that lies in a maildrop before."""

    account: str
    plain: bytes
    unique_id: str | None = None


@dataclass(slots=True)
class Setting:
    """A scene, read. `passwords` are by the full address, the first account's first."""

    door: str = ""
    host: str = ""
    domains: list[str] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)
    letters: list[LaidLetter] = field(default_factory=list)
    stamp: str = ""
    has_certificate: bool = False
    is_encrypted: bool = False
    is_private: bool = False
    is_full: bool = False
    is_exact: bool = False
    is_together: bool = False
    limit: int = 0
    recipients: int = 1000
    deviations: dict[str, str] = field(default_factory=dict)
    only: str = ""
    needs: list[str] = field(default_factory=list)
    finally_: dict[str, int] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """The full address of an account's name."""
        return name if "@" in name else f"{name}@{self.domains[0]}"


def read_scene(steps: tuple[Step, ...]) -> Setting:
    """The setting that the `@` lines of a transcript tell."""
    scenes = [step for step in steps if isinstance(step, Scene)]
    setting = Setting()
    setting.domains = [s.words.split()[1] for s in scenes if s.words.startswith("domain ")] or ["example.org"]
    for scene in scenes:
        try:
            _read(setting, scene.words)
        except (IndexError, ValueError) as error:
            raise NotationError(f"line {scene.number}: cannot read @ {scene.words}: {error}") from error
    setting.host = setting.host or setting.domains[0]
    return setting


def _read(setting: Setting, words: str) -> None:
    name, _, rest = words.partition(" ")
    arguments = rest.split()
    match name:
        case "domain":
            pass
        case "door" | "host" | "stamp" | "only":
            setattr(setting, name, arguments[0])
        case "needs":
            setting.needs.append(rest)
        case "account":
            setting.passwords[setting.address(arguments[0])] = arguments[1] if len(arguments) > 1 else "secret"
        case "letter":
            unique_id = arguments[2] if len(arguments) > 2 else None
            letter = LaidLetter(setting.address(arguments[0]), made_letter(int(arguments[1])), unique_id)
            setting.letters.append(letter)
        case "text":
            account, _, text = rest.partition(" ")
            setting.letters.append(LaidLetter(setting.address(account), unescaped(text)))
        case "certificate":
            setting.has_certificate = True
        case "tls" | "private" | "full" | "exact" | "together":
            attribute = {"tls": "is_encrypted"}.get(name, f"is_{name}")
            setattr(setting, attribute, True)
        case "limit" | "recipients":
            setattr(setting, name, int(arguments[0]))
        case "deviates":
            setting.deviations[arguments[0]] = arguments[1]
        case "finally":
            who = arguments[0] if arguments[0] == "queue" else setting.address(arguments[0])
            setting.finally_[who] = int(arguments[1])
        case _:
            raise ValueError("no such thing")


def made_letter(octets: int) -> bytes:
    """A letter of exactly that many octets, at least 2, whose lines end with CRLF and begin with no dot."""
    head = b"From: <mrose@example.org>\r\nSubject: made\r\n\r\n"
    if octets < len(head) + 2:
        return b"x" * (octets - 2) + b"\r\n"
    lines, last = divmod(octets - len(head), 64)
    body = (b"b" * 62 + b"\r\n") * lines
    if last == 1:
        return head + body[:-2] + b"b\r\n"
    return head + body + (b"e" * (last - 2) + b"\r\n" if last else b"")


async def lay_out(setting: Setting, store: Store) -> None:
    """Make a new store look like the setting."""
    for domain in setting.domains:
        await store.directory.add_domain(domain)
    accounts: dict[str, Account] = {}
    for address, password in setting.passwords.items():
        accounts[address] = account = await store.directory.add_account(address, DAY)
        verifier = verifiers.of_clear(password)
        await store.directory.set_credential(Credential(account.account_id, "password", verifier))
    for letter in setting.letters:
        mailbox = await store.office.mailbox(accounts[letter.account].account_id)
        stage = await mailbox.stage()
        await stage.write(stuff(letter.plain))
        await mailbox.append([Letter(await stage.finish(), DAY, unique_id=letter.unique_id)])


async def count_letters(store: Store, name: str) -> int:
    """How many letters the maildrop of an address, or the `queue`, holds."""
    if name == "queue":
        return len(await store.office.queue())
    account = await store.directory.find(name)
    if account is None:
        return 0
    mailbox = await store.office.mailbox(account.account_id)
    return len((await mailbox.snapshot()).keys)
