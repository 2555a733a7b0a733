"""SIPVicious from a chosen address, under a chosen name, and able to answer our challenges.

Usage: sipvicious_as.py ADDRESS NAME svmap|svwar|svcrack ARGUMENTS...
Its own option for the address (-b) is not obeyed by all tools. NAME stands in User-Agent instead of
`friendly-scanner`. svcrack knows MD5 only and looks at the first challenge; here it looks at the one it can answer.
Nothing else is changed.
"""
import importlib
import re
import socket
import sys

from sipvicious.libs import svhelper

address, name, tool = sys.argv[1:4]


class From(socket.socket):
    def bind(self, at):
        super().bind((address, 0 if self.type == socket.SOCK_DGRAM else at[1]))


socket.socket = From
make = svhelper.makeRequest
make.__defaults__ = tuple(name if d == "friendly-scanner" else d for d in make.__defaults__)
module = importlib.import_module(f"sipvicious.{tool}")
if tool == "svcrack":
    # Our strongest challenge comes first, as RFC 8760 wants it.
    challenge = re.compile(r"(?mi)^(?:WWW|Proxy)-Authenticate: *(.*algorithm=MD5.*?)\r?$")
    module.getAuthHeader = lambda text: next(iter(challenge.findall(text)), None)
    module.getAlgorithm = lambda header: "md5"
sys.argv = [tool, *sys.argv[4:]]
if tool == "svmap" and name != "friendly-scanner":
    # It names itself in From too.
    sys.argv.append(f"--fromname={name}")
sys.exit(module.main())
