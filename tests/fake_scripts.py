"""Has fakeredis run scripts as servers do: each is compiled once, and a global variable is refused where it is made.

By itself fakeredis compiles a script at each call, collects all of Lua's garbage after it, and lists all globals before
each command that the script sends. That took most of the time of the tests.
"""

import threading
from collections.abc import Callable
from typing import Any

from fakeredis import FakeServer
from fakeredis._helpers import SimpleError
from fakeredis.commands_mixins import scripting_mixin

_GUARD = """
setmetatable(_G, {
  __newindex = function(_, name) error('Script attempted to set global variables: ' .. tostring(name), 2) end,
  __index = function(_, name) error('Script attempted to access nonexistent global variable ' .. tostring(name), 2) end,
})
"""
_Mixin = scripting_mixin.ScriptingCommandsMixin
_runtime_of: Callable[..., Any] = _Mixin._get_server_runtime


class _Lua(threading.local):
    """The interpreter of a thread, for all fake servers that it uses, and the scripts that it has compiled."""

    def __init__(self) -> None:
        self.home: Any = None
        self.compiled: dict[bytes, Any] = {}

    def open(self, socket: Any) -> Any:
        """The interpreter, whose commands are those of the socket from now on."""
        if self.home is None:
            self.home = FakeServer(version=socket.version)
            _runtime_of(socket, self.home).execute(_GUARD)
        self.home._lua_current_socket[0] = socket
        return self.home._lua_runtime


_lua = _Lua()


def _evalsha(socket: Any, sha: bytes, n: int, *words: bytes) -> Any:
    script = socket._server.script_cache.get(sha)
    if script is None:
        raise SimpleError(scripting_mixin.msgs.NO_MATCHING_SCRIPT_MSG)
    runtime = _lua.open(socket)
    run = _lua.compiled.get(script)
    if run is None:
        run = _lua.compiled[script] = runtime.compile(script)
    _lua.home._lua_set_keys_argv(runtime.table_from(words[:n]), runtime.table_from(words[n:]))
    socket._script_resp = 2
    try:
        reply = run()
    except scripting_mixin.LUA_MODULE.LuaError as fault:
        raise SimpleError(scripting_mixin.msgs.SCRIPT_ERROR_MSG.format(sha.decode(), fault)) from fault
    finally:
        socket._script_resp = None
    return socket._convert_lua_result(reply, nested=False)


def install() -> None:
    """Change fakeredis in this process."""
    _Mixin.evalsha = _evalsha
    scripting_mixin._check_for_lua_globals = lambda *_: None
