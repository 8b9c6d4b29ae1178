"""Debian's own packages of servers that exclude each other: unpacked into folders, and run in a view of their own.

A view is what `unshare` and an overlay make of this system: the unpacked package lies over it, what the server writes
lies in memory, and `/peer` is a folder outside. Nobody else sees it, and it is gone with its last process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNPACKED = Path(__file__).parent.parent / "build" / "peers"

_VIEW = """
set -e
root=$1; home=$2; base=$2/view; shift 2
mkdir -p $base
mount -t tmpfs tmpfs $base
mkdir $base/upper $base/work $base/system
cp -a $root/. $base/upper
for name in bin sbin lib; do  # links into usr since Debian 12, which a folder would hide
    if [ -d $base/upper/$name ]; then
        mkdir -p $base/upper/usr; cp -a $base/upper/$name $base/upper/usr/; rm -r $base/upper/$name
    fi
done
mount -t overlay overlay -o lowerdir=/,upperdir=$base/upper,workdir=$base/work $base/system
mount --rbind /proc $base/system/proc
mount --rbind /dev $base/system/dev
mkdir -p $base/system/peer
mount --bind $home $base/system/peer
exec chroot $base/system "$@"
"""


@dataclass(frozen=True, slots=True)
class Package:
    """A server's packages, the first gives the version; the others are what it needs and a small system lacks."""

    name: str
    packages: tuple[str, ...]

    def absence(self) -> str | None:
        if os.geteuid() != 0:
            return "a view of its own needs root"
        for program in ("apt-get", "dpkg", "unshare", "chroot"):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        try:
            self._unpack()
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
            return f"its packages cannot be had: {''.join(last)}"
        return None

    def version(self) -> str:
        return (self._folder / "version").read_text()

    def words(self, home: Path, script: str) -> Sequence[str]:
        """The command that runs a shell script in the view, with `home` as `/peer`."""
        view = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "sh",
            "-c",
            _VIEW,
            "view",
        ]
        return [*view, str(self.root), str(home), "sh", "-c", script]

    @property
    def root(self) -> Path:
        """What the packages hold, as it would lie under `/`."""
        return self._folder / "root"

    @property
    def _folder(self) -> Path:
        return UNPACKED / self.name

    def _unpack(self) -> None:
        """Once; the file `version` tells that it is done."""
        folder = self._folder
        if (folder / "version").exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *self.packages], cwd=folder, capture_output=True, check=True)
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", archive, self.root], capture_output=True, check=True)
        first = next(folder.glob(f"{self.packages[0]}_*.deb"))
        told = subprocess.run(["dpkg", "-f", first, "Version"], capture_output=True, text=True, check=True)
        (folder / "version").write_text(told.stdout.strip())


COURIER = Package(
    "courier",
    (
        "courier-pop",
        "courier-base",
        "courier-authlib",
        "courier-authdaemon",
        "courier-authlib-userdb",
        "libcourier-unicode4",
        "gamin",
        "libgamin0",
        "libpcre3",
        "libltdl7",
    ),
)
COURIER_SCRIPT = """
set -e
ldconfig
mkdir -p /run/courier/authdaemon
sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb"/' /etc/courier/authdaemonrc
umask 077
{accounts}
makeuserdb
umask 022
set -a
. /etc/courier/authdaemonrc; . /etc/courier/pop3d; . /etc/courier/pop3d-ssl
POP3_STARTTLS={starttls}
set +a
/usr/lib/courier/courier-authlib/authdaemond &
{beside}
exec couriertcpd -address=127.0.0.1 -maxprocs={at_once} -maxperip={at_once} -nodnslookup -noidentlookup {port} \\
    /usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir
"""
"""Runs Courier's POP3 server; `accounts` are commands that fill its userdb, and whatever else it needs before; `beside`
are what else shall run."""

CYRUS = Package(
    "cyrus",
    (
        "cyrus-pop3d",
        "cyrus-common",
        "sasl2-bin",
        "libsasl2-modules",
        "libmspack0",
        "libclamav12",
        "libical3",
        "libpcre3",
        "libxapian30",
        "libzephyr4",
        "db5.3-util",
    ),
)
