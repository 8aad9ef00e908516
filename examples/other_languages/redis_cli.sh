#!/usr/bin/env bash
# Asks a worker one thing with redis-cli (or valkey-cli: REDIS_CLI=valkey-cli).
#
#     redis_cli.sh redis://127.0.0.1:6379/0 text-classification '{"inputs": "a delight"}'
#
# Prints the stored result as JSON. Exit status: 0, 1 if the request failed, 2 if no answer came.
set -euo pipefail

url=$1 task=$2 kwargs=$3
cli() { "${REDIS_CLI:-redis-cli}" -u "$url" "$@"; }

id=$(cat /proc/sys/kernel/random/uuid)
tag=$(cat /proc/sys/kernel/random/uuid)
body=$(printf '[[], %s, null]' "$kwargs" | base64 -w 0)

message=$(cat <<JSON
{
  "body": "$body",
  "content-type": "application/json",
  "content-encoding": "utf-8",
  "headers": {"task": "$task", "id": "$id"},
  "properties": {
    "delivery_tag": "$tag",
    "delivery_info": {"exchange": "", "routing_key": "$task"},
    "body_encoding": "base64"
  }
}
JSON
)
cli LPUSH "$task" "$message" >/dev/null

for _ in $(seq $((10 * ${TIMEOUT_S:-30}))); do
  record=$(cli GET "celery-task-meta-$id")
  case $record in
    '{"status": "SUCCESS"'*) printf '%s\n' "$record"; exit 0 ;;
    '{"status": "FAILURE"'* | '{"status": "REVOKED"'*) printf '%s\n' "$record" >&2; exit 1 ;;
  esac
  sleep 0.1
done
echo "no answer in time" >&2
exit 2
