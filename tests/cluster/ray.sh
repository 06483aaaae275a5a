#!/usr/bin/env bash
# A Ray cluster of one node, for tests: `ray.sh up`, then `export RAY_ADDRESS=...` as it says, and `ray.sh down`.
#
# `ray` is taken from the environment of $PYTHON (else python3). Everything lies in RAY_FOLDER, else /tmp/bus_lightning_ray.
set -euo pipefail
folder=${RAY_FOLDER:-/tmp/bus_lightning_ray}
address=127.0.0.1:${RAY_PORT:-6399}
python=${PYTHON:-python3}
export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0  # else jobs wait for all others of a busy machine
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$folder/token  # else whoever reaches the port could run code

up() {
  down
  mkdir -p "$folder"
  (umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")
  # Started elsewhere, as clusters are: jobs must find their way from the folder where the grid was started.
  cd "$folder"
  TEST_CLUSTER=$folder "$python" -m ray.scripts.scripts start --head --node-ip-address=127.0.0.1 --port="${address#*:}" --temp-dir="$folder/ray" \
    --include-dashboard=false --disable-usage-stats --num-gpus=0 "$@" > "$folder/start.log" 2>&1 || { cat "$folder/start.log" >&2; exit 1; }
  echo "export RAY_ADDRESS=$address RAY_AUTH_MODE=$RAY_AUTH_MODE RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH"
}

members() {  # ids of this cluster's processes; `ray stop` would end every cluster of this machine
  grep --files-with-matches --null-data --no-messages --fixed-strings --line-regexp "TEST_CLUSTER=$folder" /proc/[0-9]*/environ |
    cut -d / -f 3 || true
}

down() {
  for signal in TERM KILL; do
    for _ in $(seq 50); do
      ids=$(members)
      [ -n "$ids" ] || break 2
      kill -s $signal $ids 2>/dev/null || true
      sleep 0.1
    done
  done
  rm -rf "$folder"
}

case "${1:-}" in
  up) shift; up "$@" ;;
  down) down ;;
  *) echo "usage: $0 up|down" >&2; exit 2 ;;
esac
