#!/bin/sh
# The front of the MCP server: starts the launcher with a Python that can run it, from 3.9 up. Where there is none it
# talks to Claude Code itself and says so, since a server that fails to start is not tried again for a quarter of an hour.
# It may be told the plugin's data folder, by Claude Code and not by the environment, which a project can set: what Python
# has compiled is kept there, or it would compile the same at each start of a session. Nothing is written elsewhere.

data=${1:-}
set -- -B
case $data in
  # Where nothing can be written, not even what Python brings along compiled would be used.
  /*)
    [ -d "$data/compiled" ] || mkdir -p "$data/compiled" 2>/dev/null
    [ ! -w "$data/compiled" ] || set -- -X "pycache_prefix=$data/compiled"
    ;;
esac
root=${0%/*}/..
run='import sys; sys.path.append(sys.argv[1]); from sagaflow_mcp import launcher; launcher.main()'
ask='import sys; sys.version_info >= (3, 9) and print(sys.executable)'

# The system's own first: a python3 on PATH may be a shim that takes longer than all the rest.
for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.10 python3.9 /usr/local/bin/python3 \
  /opt/homebrew/bin/python3; do
  path=$(command -v "$name") || continue
  # On a Mac without its developer tools this one opens a window that offers them.
  if [ "$path" = /usr/bin/python3 ] && [ -x /usr/bin/xcode-select ]; then
    /usr/bin/xcode-select -p >/dev/null 2>&1 || continue
  fi
  # Asked where it really is, so that a shim is gone through once only.
  python=$("$path" -I -S -c "$ask" 2>/dev/null </dev/null)
  # -I -S: neither the user's environment nor site-packages.
  [ -x "$python" ] && exec "$python" -I -S "$@" -c "$run" "$root"
done
exec sh "${0%/*}/without_python.sh"
