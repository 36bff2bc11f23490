#!/bin/sh
# Stands in for uv, so that a build takes no time and no network. What it does is said by files in $STAND_IN:
#   fail     the installation of packages fails, and says what is in that file
#   hold     it waits until that file is gone
# It appends a line to $STAND_IN/calls for each environment that it makes.
for last; do :; done
case $1 in
  venv)
    echo "$last" >>"$STAND_IN/calls"
    mkdir -p "$last/bin"
    # Its Python tries nothing, wakes nothing but notes that, and serves as the small server.
    cat >"$last/bin/python" <<END
#!/bin/sh
[ "\$3" != sagaflow_mcp.waking ] || { touch "$STAND_IN/woken"; exit; }
[ "\$2" = -c ] || exec $STAND_IN_SERVER
END
    chmod 700 "$last/bin/python"
    ;;
  pip)
    echo $$ >"$STAND_IN/pid"
    while [ -e "$STAND_IN/hold" ]; do read -r _ <"$STAND_IN/gate"; done
    if [ -e "$STAND_IN/fail" ]; then cat "$STAND_IN/fail" >&2; exit 1; fi
    ;;
esac
