#!/bin/sh
# The front of Sagaflow's hooks: silent, and quick where there is nothing to say. What it is told:
#   session-start, prompt   tell the session what is new in the inbox
#   wait                    wait for news of this session's runs, and wake it
#   launched                the same, after a launch
# It exits 0, because Claude Code shows every other status to the user, but for 2 of what waits: that wakes the session.

case ${1:-} in session-start | prompt | wait | launched) ;; *) exit 0 ;; esac
[ -z "${SAGAFLOW_IN_RUN:-}" ] || exit 0
name=$1
# Without a terminal Claude Code would not end while this waits. A launch is noted all the same.
[ "$name" != wait ] || [ "${CLAUDE_CODE_ENTRYPOINT:-}" = cli ] || exit 0

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

# Of a home that a project's settings name, no more than this is looked at before Python has asked guard.py.
has() { [ -e "$1" ]; }
# Whether this session has been told all that is in the inbox: hook.py gives the stamp the time of the folder. Equal,
# not newer: a clock may be set back.
is_told() {
  stamp=$home/seen/${CLAUDE_CODE_SESSION_ID:-.}/.told
  [ -e "$stamp" ] && ! [ "$home/inbox/new" -nt "$stamp" ] && ! [ "$home/inbox/new" -ot "$stamp" ]
}
has_news() { has "$home"/inbox/new/*.json && ! is_told; }
# Whether what is noted of this Claude Code process, if anything is, names the session that it is in.
is_noted() {
  if read -r line <"/proc/$PPID/stat"; then
    # The start of the process is the 22nd field; the second one, in brackets, may hold anything.
    set -- ${line##*) }
    set -- "$home/sessions/$PPID-${20}"
  else
    set -- "$home/sessions/$PPID"-*[0-9]
  fi 2>/dev/null
  for each; do
    [ -f "$each" ] || return 0
    read -r line <"$each"
    case $line in *"\"${CLAUDE_CODE_SESSION_ID:-.}\""*) ;; *) return 1 ;; esac
  done
}
case $home in
  "~"*) ;;
  *)
    case $name in
      session-start) has "$home"/inbox/new/*.json || ! is_noted || exit 0 ;;
      prompt) has_news || ! is_noted || exit 0 ;;
      wait) has "$home"/open/* || has_news || exit 0 ;;
      launched) has "$home"/inbox || exit 0 ;;
    esac
    ;;
esac

command -v python3 >/dev/null 2>&1 || exit 0
# -I -S: neither the user's environment nor site-packages, for speed too. -B: nothing is written into the plugin folder.
case $name in
  wait | launched)
    # Its words go where it was told, and nobody else's: what is there with status 2 wakes the session.
    exec python3 -I -S -B "${0%/*}/run.py" "$name" "$PPID" 3>&2 2>/dev/null
    ;;
esac
python3 -I -S -B "${0%/*}/run.py" "$name" "$PPID" 2>/dev/null
exit 0
