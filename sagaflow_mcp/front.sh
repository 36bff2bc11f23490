#!/bin/sh
root=${0%/*}/..
exec /usr/bin/python3 -I -S -B -c 'import sys; sys.path.append(sys.argv[1]); from sagaflow_mcp import launcher; launcher.main()' "$root"
