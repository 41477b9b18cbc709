"""uvicorn's server, which also takes ports that are opened while it runs."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn


class WebServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        app: Any = self.config.app
        if self.started:
            app.state.context.web_interfaces.ports.use(self._serve_also)

    async def _serve_also(self, listener: socket.socket) -> None:
        config = self.config

        def protocol() -> Any:
            return config.http_protocol_class(  # type: ignore[call-arg] # uvicorn's own classes all take these
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )

        # Closed by uvicorn with its own ones.
        self.servers.append(await asyncio.get_running_loop().create_server(protocol, sock=listener))
