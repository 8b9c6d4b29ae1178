"""A POP3 server of Twisted: its protocol, over a folder of files. Run by the interpreter of Twisted's own environment.

    python twisted_server.py PORT MAILDIR USER PASSWORD

Twisted's own Maildir mailbox does not work on Python 3, so the mailbox is this one: files in `new`, oldest first.
"""
# mypy: ignore-errors

import hashlib
import io
import sys
from pathlib import Path

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import protocol, reactor
from twisted.mail import pop3
from zope.interface import implementer


@implementer(pop3.IMailbox)
class Folder(pop3.Mailbox):
    def __init__(self, path):
        self.paths = sorted(path.iterdir())
        self.marked = set()

    def _octets(self, index):
        """With the line ends of this system, which is what Twisted's protocol wants to send."""
        if index in self.marked:
            return b""
        octets = self.paths[index].read_bytes().replace(b"\r\n", b"\n")
        return octets if octets.endswith(b"\n") else octets + b"\n"

    def _size(self, index):
        octets = self._octets(index)
        return len(octets) + octets.count(b"\n")

    def listMessages(self, index=None):  # noqa: N802
        if index is None:
            return [self._size(index) for index in range(len(self.paths))]
        return self._size(index)

    def getMessage(self, index):  # noqa: N802
        return io.BytesIO(self._octets(index))

    def getUidl(self, index):  # noqa: N802
        return hashlib.sha256(self.paths[index].name.encode()).hexdigest()[:32].encode()

    def deleteMessage(self, index):  # noqa: N802
        self.paths[index]  # who is not there cannot be marked: an IndexError
        self.marked.add(index)

    def undeleteMessages(self):  # noqa: N802
        self.marked.clear()

    def sync(self):
        for index in self.marked:
            self.paths[index].unlink()


@implementer(IRealm)
class Realm:
    def __init__(self, path):
        self.path = path

    def requestAvatar(self, avatar_id, mind, *interfaces):  # noqa: N802
        return pop3.IMailbox, Folder(self.path / "new"), lambda: None


def main(port, maildir, user, password):
    checker = InMemoryUsernamePasswordDatabaseDontUse(**{user: password.encode()})
    portal = Portal(Realm(Path(maildir)), [checker])
    factory = protocol.ServerFactory()

    def build(address):
        session = pop3.POP3()
        session.portal = portal
        session.factory = factory
        return session

    factory.buildProtocol = build
    reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
