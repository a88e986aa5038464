"""A mail server that is none of ours, with the faults that real ones have: STARTTLS and a password are asked for, and what
a recipient is called decides what happens to a mail.

    server.py FOLDER CERTIFICATE KEY USER PASSWORD

Prints its port. Mails that it took lie in FOLDER, one a file, named by number.
"""

import asyncio
import collections
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.seen = collections.Counter()
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        self.seen[name] += 1
        # Greylisting: who comes again is no robot.
        if name == "grey" and self.seen[name] == 1:
            return "450 4.7.1 try again in a minute"
        if name == "never":
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].split("@")[0]
        first = self.seen[name] == 1
        if name == "hang" and first:
            await asyncio.Event().wait()
        if name == "drop" and first:
            server.transport.abort()
            return "250 nobody hears this"
        self.count += 1
        # Whole before it has its name.
        part = self.folder / f"{self.count}.part"
        part.write_bytes(envelope.content)
        part.rename(self.folder / f"{self.count}.eml")
        return "250 kept"


def main():
    folder, certificate, key, user, password = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = Handler(folder)

    def login(server, session, envelope, mechanism, data):
        right = (data.login.decode(), data.password.decode()) == (user, password)
        return AuthResult(success=right, handled=right)

    async def serve():
        loop = asyncio.get_running_loop()
        protocol = lambda: SMTP(
            handler,
            hostname="localhost",
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=login,
            loop=loop,
        )
        server = await loop.create_server(protocol, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(serve())


main()
