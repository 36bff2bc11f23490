#!/bin/sh
# An MCP server for a machine without a Python that could run the real one: it shakes hands in both generations of the
# protocol, offers `doctor` alone, and answers every call with one sentence. It needs nothing but a shell and sed.

sentence='Sagaflow cannot run: there is no Python 3.9 or later on this machine, and it needs Python 3.11 or later.'
sentence="$sentence Install one (python.org, or your package manager), then start Claude Code again."
server='{"name":"sagaflow","title":"Sagaflow","version":"0"}'
abilities='"capabilities":{"tools":{"listChanged":true}}'
tool='{"name":"doctor","description":"Say why Sagaflow cannot run.","inputSchema":{"type":"object","properties":{}}}'

# The value, as JSON, of the member $1 of the message: a string or a number. The last one counts: TypeScript's SDK writes
# the id after the parameters, and the few parameters there are have none of these names.
value() {
  printf '%s\n' "$line" | sed -n -E "s/.*\"$1\"[[:space:]]*:[[:space:]]*(\"[^\"\\]*\"|-?[0-9]+).*/\1/p"
}

# Answer with the result whose members are $1. Since protocol 2026-07-28 a result says more about itself.
answer() {
  case $line in
    *'"io.modelcontextprotocol/protocolVersion"'*)
      more=",\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\""
      more="$more,\"_meta\":{\"io.modelcontextprotocol/serverInfo\":$server}"
      ;;
    *) more='' ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":{%s%s}}\n' "$id" "$1" "$more"
}

while IFS= read -r line; do
  id=$(value id)
  [ -n "$id" ] || continue # A notification.
  case $(value method) in
    '"server/discover"') answer "\"supportedVersions\":[\"2026-07-28\"],$abilities,\"instructions\":\"$sentence\"" ;;
    '"initialize"')
      version=$(value protocolVersion)
      answer "\"protocolVersion\":${version:-\"2025-11-25\"},$abilities,\"serverInfo\":$server,\"instructions\":\"$sentence\""
      ;;
    '"tools/list"') answer "\"tools\":[$tool]" ;;
    '"resources/list"') answer '"resources":[]' ;;
    '"resources/templates/list"') answer '"resourceTemplates":[]' ;;
    '"prompts/list"') answer '"prompts":[]' ;;
    '"ping"') answer '' | sed 's/{,/{/' ;;
    '"tools/call"') answer "\"content\":[{\"type\":\"text\",\"text\":\"$sentence\"}],\"isError\":true" ;;
    '"subscriptions/listen"')
      # It is answered when it ends. It must be acknowledged, with what nobody will ever be told.
      printf '{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":%s,"notifications":{}}}\n' \
        "{\"io.modelcontextprotocol/subscriptionId\":$id}"
      ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"%s"}}\n' "$id" "$sentence" ;;
  esac
done
