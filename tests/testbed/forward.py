# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passes connections from one network namespace into another.

A socket belongs to the namespace that it was made in. This process gets one that listens in the machine's network,
and is itself in another: there it connects. Nobody's network is configured for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys


async def main(listening: int, address: str, port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(address, port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
        writer.close()
        there[1].close()

    server = await asyncio.start_server(serve, sock=socket.socket(fileno=listening))
    await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What comes, until its end, which is passed on too."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        return
    writer.transport.abort()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
