#!/bin/sh
# The front of Sagaflow's hooks: silent, and quick where there is nothing to say. It always exits 0, because Claude Code
# shows every other exit to the user, at each session start.

[ "${1:-}" = session-start ] && [ -z "${SAGAFLOW_IN_RUN:-}" ] || exit 0

# What was set for the plugin goes before what was set for everything, as in sagaflow_mcp/plugin_options.py.
if [ -n "${CLAUDE_PLUGIN_OPTION_HOME:-}" ]; then
  SAGAFLOW_HOME=$CLAUDE_PLUGIN_OPTION_HOME
  export SAGAFLOW_HOME
fi
# The home as sagaflow_mcp/paths.py finds it, except a ~name, which only Python resolves.
home=${SAGAFLOW_HOME:-${HOME:-"~"}/.sagaflow}
case $home in
  "~/"*) [ -z "${HOME:-}" ] || home=$HOME/${home#"~/"} ;;
esac
case $home in
  "~"*) ;;
  *)
    # Of a home that a project's settings name, no more than this is looked at before hook.py has asked guard.py.
    set -- "$home"/inbox/new/*.json
    [ -e "$1" ] || exit 0
    ;;
esac

command -v python3 >/dev/null 2>&1 || exit 0
# -I -S: neither the user's environment nor site-packages, for speed too. -B: nothing is written into the plugin folder.
python3 -I -S -B "${0%/*}/session_start.py" 2>/dev/null
exit 0
